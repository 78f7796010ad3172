"""A member in a process of its own, for tests that kill it: argv is role, folder, name."""

import logging
import sys
from pathlib import Path

from roost.cluster.assembly import MemberSettings, ReaderMember, WriterMember
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import DirectoryFiles


def main() -> None:
    role, folder, name, replicas = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    logging.basicConfig(level=logging.INFO, filename=folder / f"{name}.log")
    settings = MemberSettings(
        f"sqlite:///{folder / 'catalog.db'}", member_id=name, replicas=replicas
    )
    files = DirectoryFiles(folder / "volume")
    if role == "ro":
        reader = ReaderMember(settings, files)
        reader.start()
        assert reader.wait_ready(20)
        member: ReaderMember | WriterMember = reader
    else:
        member = WriterMember(settings, files, EngineSettings(lease_term_s=2.0))
        member.start(standby=True)
    print("ready", flush=True)
    sys.stdin.read()  # until the test closes it or kills us
    member.stop()


if __name__ == "__main__":
    main()
