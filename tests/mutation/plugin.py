"""A plugin for pytest: chooses, orders and times tests; notes which runs which line."""

import json
import os
import re
import time

import pytest

with open(os.environ["MUT_CONFIG"]) as _file:
    _config = json.load(_file)
_cov = None
if _config.get("cover"):
    import coverage

    _cov = coverage.Coverage(
        data_file=_config["cover"],
        include=[_config["package"] + "/*"],
        config_file=False,
    )
    _cov.start()
    os.environ["MUT_TRACE"] = _config["trace"]
_times = {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session, config, items):
    wanted = _config.get("tests")
    if wanted is None:
        return

    # Some ids hold addresses, which change.
    def steady(name):
        return re.sub(r"0x[0-9a-f]+|id='\d+'", "*", name)

    order = {steady(name): n for n, name in enumerate(wanted)}
    items[:] = sorted(
        (i for i in items if steady(i.nodeid) in order),
        key=lambda i: order[steady(i.nodeid)],
    )
    for item in items:
        item.add_marker(
            pytest.mark.timeout(max(8.0, 8 * _config["times"].get(item.nodeid, 1)))
        )


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if _cov is not None:
        _cov.switch_context(item.nodeid)
        os.environ["MUT_TEST"] = item.nodeid
    if "current" in _config:
        with open(_config["current"], "w") as file:
            file.write(item.nodeid)
    start = time.time()
    yield
    _times[item.nodeid] = time.time() - start
    if _cov is not None:
        _cov.switch_context("")
        os.environ.pop("MUT_TEST", None)


def pytest_sessionfinish(session):
    if _cov is not None:
        _cov.stop()
        _cov.save()
    if _config.get("write_times"):
        with open(_config["write_times"], "w") as file:
            json.dump(_times, file)
