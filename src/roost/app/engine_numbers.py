"""The numbers of the engine, from settings."""

from roost.config.settings import Settings, check_names
from roost.errors import InvalidArgument
from roost.vector.engine.settings import EngineSettings


def engine_settings(settings: Settings) -> EngineSettings:
    """Return the engine's numbers with those of the settings.  Raises InvalidArgument."""
    known = {name: getattr(EngineSettings(), name) for name in EngineSettings.__slots__}
    check_names(settings.engine, known, "engine")
    for name, value in settings.engine.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise InvalidArgument(f"setting engine.{name} must be a number from 0 on: {value!r}")
    return EngineSettings(**{name: type(known[name])(v) for name, v in settings.engine.items()})
