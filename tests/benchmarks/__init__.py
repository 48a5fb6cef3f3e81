"""How much server CPU, time and memory mail costs, side by side with the peers.

The command, from the repository's root, on Linux with CPython 3.11 and 3.13::

    python -m tests.benchmarks

It measures this package on both interpreters, the original ``smtpd`` on 3.11,
``standard-smtpd`` on 3.13, ``aiosmtpd`` on both, and two floors: a do-nothing
asyncore server that only sends the right replies, and postfix's ``smtp-sink`` where
it is installed.  What is missing is named and left out.  ``--help`` lists the rest:
one workload or one server alone, the figures as JSON, the tables of docs/speed.md.

The method
----------

* Every measurement has a server process of its own, and a load generator
  (`load`) that is another process: what the client costs is not in the figures.
* The rounds are interleaved: a round measures every server with every workload, one
  after another, and the next round starts with another server.  Ratios are taken
  *within* a round, so that a machine which slows down for a minute slows down both
  sides; their minimum, median and maximum over the rounds are reported.
* The figure to trust is *server CPU*: user + system time of the server's process
  between the first and the last octet of the timed part, read by the load generator
  from the kernel's CPU clock of that process, to the nanosecond.  ``/proc/PID/stat``
  counts in steps of 10 ms, a third of what some workloads cost.
* The same program text (`programs/asyncore_program.py`) serves with the original,
  with ``standard-smtpd`` and with this package; the name that it imports is the only
  difference.  Its handler keeps a counter and returns None.
* A short exchange precedes the timed part, so that what a server does only once
  (imports on first use, specialising byte code) is not divided by few messages.
* Peak memory is the growth of the server's resident set during the timed part, its
  peak having been reset (``/proc/PID/clear_refs``).

Pitfalls
--------

* Throughput is bounded by the slower of two processes.  The column *load* says what
  share of the time the generator was busy; where it is near 100 %, the server could
  have done more, and its throughput is a lower bound.  Server CPU is not affected.
* Where a single client waits for every reply, client and server never run at the same
  time, and on two cores each send has to wake up the other one.  In a virtual machine
  the kernel charges the sender some 30 µs for that, 120 µs per message: as much as
  the original itself needs for it, and none of the server's doing.  Left alone, the
  scheduler puts the two on one core in one round and on two in the next.  So both are
  pinned: to one core in these workloads (`TAKING_TURNS`; their throughput is that of
  server and client together), and each to its own in all the others.  ``--cores``
  overrides it.
* A server that is never idle reads more at once and asks for work less often, so
  that its CPU per message falls as the load grows.  That is why one session and 20
  are rows of their own.
* Clients send a command and wait for its reply, as ``smtplib`` does, unless the
  workload says otherwise.
* Two of the servers cannot take some loads: the original's own loop ends beyond
  1,019 connections, and ``aiosmtpd`` takes no line over 1,001 octets.  The report
  says so, where another benchmark might leave a gap.
* ``aiosmtpd`` needs minutes for ten million empty lines and gets a shorter message
  there; CPU is reported per megabyte.
* Do not run anything else on the machine; with two cores, server and generator fill
  it.
"""
