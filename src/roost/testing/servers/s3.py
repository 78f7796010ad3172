"""s3rver: a small server of Amazon's S3 protocol, from npm."""

import itertools

from roost.testing.servers.available import node_program, not_installed
from roost.testing.servers.process import Server

ACCESS_KEY = "S3RVER"
SECRET_KEY = "S3RVER"
REGION = "us-east-1"


class S3Server(Server):
    """s3rver.  `new_bucket` gives each test a bucket of its own."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        if node_program("s3rver") is None:
            return not_installed("s3rver", "npm install s3rver")
        return None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: the endpoint; a bucket's name follows as its path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_key(self) -> str:
        """The access key."""
        return ACCESS_KEY

    @property
    def secret_key(self) -> str:
        """The secret key."""
        return SECRET_KEY

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return REGION

    def new_bucket(self, name: str = "") -> str:
        """Make a bucket and return its name; s3rver keeps a bucket as a folder."""
        made = name or f"roost-{next(self._numbers)}"
        (self.folder / "buckets" / made).mkdir()
        return made

    def _prepare(self) -> None:
        (self.folder / "buckets").mkdir()

    def _command(self) -> list[str]:
        return [
            node_program("s3rver") or "",
            "--directory",
            str(self.folder / "buckets"),
            "--address",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--silent",
        ]
