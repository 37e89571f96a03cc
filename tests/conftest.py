"""What all end-to-end tests start from: the packages as they are shipped."""

import os
import tarfile

import pytest

from router import Router, package


@pytest.fixture(scope="session")
def host_package():
    """The package for this machine."""
    return package("host")


@pytest.fixture(scope="session")
def v3_package():
    """The package for routers of platform v3."""
    return package("v3")


def unpacked(archive, directory):
    with tarfile.open(archive) as members:
        members.extractall(directory, filter="fully_trusted")
    return directory / "mqtt_broker"


@pytest.fixture(scope="session")
def program(host_package, tmp_path_factory):
    """The broker's program of the package for this machine, outside of any router."""
    return unpacked(host_package, tmp_path_factory.mktemp("host")) / "bin/mqtt_broker"


@pytest.fixture(scope="module", params=["theirs", "ours"])
def clients(request, program):
    """Whose mosquitto_pub and mosquitto_sub it is that the tests of a file start: Debian's, or those of the package."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ours":
            patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        yield request.param


@pytest.fixture(scope="module")
def router(host_package):
    """A router on which the app was installed and enabled in its web page; shared by the tests of a file."""
    with Router(host_package) as router:
        router.enable(mqtt_log_level="info")
        yield router


@pytest.fixture
def unharmed(router):
    """Whatever the test does, the broker's two processes live on, and serve."""
    before = router.supervisor(), router.worker()
    yield
    assert (router.supervisor(), router.worker()) == before, router.logged()
