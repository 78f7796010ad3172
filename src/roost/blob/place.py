"""Where a volume's objects lie, in the words of JuiceFS's settings."""

from dataclasses import dataclass, field, replace

from roost.errors import InvalidArgument

SHARDS_MAX = 256


@dataclass(frozen=True, slots=True)
class Place:
    """What `--storage`, `--bucket` and their companions say.  Secrets stay out of its repr.

    `access_key` is the account of Azure and the user of WebDAV.  Limits are megabits per second
    of this process, 0 for none.  `tag` is empty or one "key=value".  `fellows` are, for one bucket
    of a sharded place, the buckets of all its shards.
    """

    storage: str
    bucket: str
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    storage_class: str = ""
    tag: str = ""
    shards: int = 0
    upload_mbps: int = 0
    download_mbps: int = 0
    fellows: tuple[str, ...] = ()

    def buckets(self) -> tuple["Place", ...]:
        """Return the places of the single buckets: this one, or one for each shard.

        Raises InvalidArgument for a sharded place whose bucket has no room for the number.
        """
        if self.shards <= 1:
            return (self,)
        if self.shards > SHARDS_MAX:
            raise InvalidArgument(f"{self.shards} shards are more than {SHARDS_MAX}")
        if self.bucket.count("%d") != 1:
            raise InvalidArgument(
                f"bucket {self.bucket!r} of a sharded volume must hold one %d",
                hint="Write the number's place as %d, for example --bucket /data/shard%d/.",
            )
        names = tuple(self.bucket.replace("%d", str(shard)) for shard in range(self.shards))
        return tuple(replace(self, bucket=name, shards=0, fellows=names) for name in names)
