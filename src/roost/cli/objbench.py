"""`roost objbench`: does an object store work, and how fast is it?"""

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from roost.blob.exercise import (
    FAILED,
    CheckResult,
    Load,
    Pace,
    check_store,
    measure_store,
)
from roost.blob.make_bucket import make_bucket
from roost.blob.open import open_store
from roost.blob.place import Place
from roost.blob.store import BlobStore
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption
from roost.cli.progress import counting
from roost.cli.storage_options import (
    AccessKeyOption,
    SecretKeyOption,
    SessionTokenOption,
    StorageClassOption,
    StorageOption,
    size_in,
)
from roost.errors import Failure, InvalidArgument, Unsupported
from roost.volume.formatting import file_bucket


def objbench(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="Bucket URL, or a directory.")],
    storage: StorageOption = "file",
    access_key: AccessKeyOption = "",
    secret_key: SecretKeyOption = "",
    session_token: SessionTokenOption = "",
    storage_class: StorageClassOption = "",
    shards: Annotated[
        int, typer.Option(help="Spread over this many buckets; BUCKET then holds one %d.")
    ] = 0,
    block_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Of each big put and get, in KiB, or as 4M.")
    ] = "4M",
    big_object_size: Annotated[
        str, typer.Option(metavar="SIZE", help="All big puts together, in MiB, or as 1G.")
    ] = "1G",
    small_object_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Of a small object in KiB, or as 128K.")
    ] = "128K",
    small_objects: Annotated[int, typer.Option(help="How many small objects.")] = 100,
    skip_functional_tests: Annotated[
        bool, typer.Option("--skip-functional-tests", help="Measure only.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", "-p", help="Requests at a time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Test an object store and measure it; what is written is removed again.

    Ends with code 3 if a functional test fails.

    Example: roost objbench --storage s3 https://photos.s3.us-east-2.amazonaws.com -p 6
    """
    with plain_errors():
        if storage.lower() == "jfs":
            raise Unsupported(
                "--storage jfs: a volume is no object store here",
                hint="Measure its bucket; or a mount of the volume, with `roost bench FOLDER`.",
            )
        load = _load(block_size, big_object_size, small_object_size, small_objects, threads)
        place = Place(
            storage,
            file_bucket(bucket) if storage.lower() == "file" else bucket,
            access_key,
            secret_key,
            session_token,
            storage_class,
            shards=shards,
        )
        if place.storage.lower() == "file":
            make_bucket(place)
        store = open_store(place, environment=os.environ)
        checks, paces = _work(store, load, skips=skip_functional_tests)
    if as_json:
        show_json({"bucket": store.name, "functional": checks, "performance": paces})
    else:
        _show(store.name, checks, paces, load)
    if any(check.outcome == FAILED for check in checks):
        complain("error: the store failed functional tests")
        raise typer.Exit(Failure.exit_code)


def _load(block: str, big: str, small: str, small_count: int, threads: int) -> Load:
    load = Load(
        block_bytes=size_in(block, "K", "--block-size"),
        big_bytes=size_in(big, "M", "--big-object-size"),
        small_bytes=size_in(small, "K", "--small-object-size"),
        small_count=small_count,
        threads=threads,
    )
    if min(load.block_bytes, load.big_bytes, load.threads) < 1 or load.small_count < 0:
        raise InvalidArgument("sizes and threads must be at least 1")
    return load


def _work(store: BlobStore, load: Load, *, skips: bool) -> tuple[list[CheckResult], list[Pace]]:
    checks: list[CheckResult] = []
    if not skips:
        with counting("testing") as progress:
            checks = check_store(store, progress)
    with counting("measuring") as progress:
        return checks, measure_store(store, load, progress)


def _show(name: str, checks: list[CheckResult], paces: list[Pace], load: Load) -> None:
    console = Console(highlight=False)
    if checks:
        table = Table("test", "result", "", title=f"{name}: functional tests")
        for check in checks:
            table.add_row(check.name, check.outcome, check.why)
        console.print(table)
    table = Table(
        "item",
        "each",
        "MiB/s",
        "objects/s",
        "ms/object",
        title=f"{name}: {load.threads} at a time",
    )
    for pace in paces:
        table.add_row(
            pace.name,
            str(pace.count),
            f"{pace.mib_per_s:.1f}" if pace.mib_per_s else "",
            f"{pace.per_s:.1f}",
            f"{pace.ms_each:.2f}",
        )
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("objbench")(objbench)
