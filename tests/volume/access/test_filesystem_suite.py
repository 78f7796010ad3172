"""fsspec's own abstract suite over the volume."""

from collections.abc import Iterator

import pytest
from fsspec.tests import abstract

from roost.testing.volumes import make_test_volume
from roost.volume.access.filesystem import RoostFileSystem
from roost.volume.meta.opening import drop_memory_volume


@pytest.fixture(scope="module")
def suite_fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoostFileSystem]:
    """One volume for the whole suite, its metadata in memory: 130 tests in a few seconds."""
    folder = tmp_path_factory.mktemp("suite")
    volume = make_test_volume(folder, meta_url="memory://fsspec-suite")
    made = RoostFileSystem(
        volume.meta_url, cache_dir=str(folder / "cache"), skip_instance_cache=True
    )
    yield made
    made.close()
    volume.finish()
    drop_memory_volume("fsspec-suite")


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, suite_fs: RoostFileSystem) -> RoostFileSystem:
        return suite_fs

    @pytest.fixture
    def fs_path(self) -> str:
        return "/suite"


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
