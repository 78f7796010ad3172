"""How long a store is waited for, and how often it is asked again: the one place for these."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of one verb.  The defaults are JuiceFS's where it has them (60 s, 10 tries)."""

    connect_timeout_s: float = 5.0
    request_timeout_s: float = 60.0  # from connecting to the last byte of one try
    tries_max: int = 10
    delay_first_s: float = 0.1
    delay_max_s: float = 10.0
    total_s: float = 180.0  # no try is begun after this
    # Until a store has answered for the first time, its address is the likelier reason for silence.
    first_try_s: float = 15.0
    first_answer_s: float = 20.0  # no try is begun after this

    def waiting(self, request_timeout_s: float) -> "Patience":
        """Return this with a chosen time-out of a request, which holds for the first one, too.

        Who names a time-out knows how slowly the store answers.
        """
        return replace(
            self,
            request_timeout_s=request_timeout_s,
            first_try_s=request_timeout_s,
            first_answer_s=max(request_timeout_s, self.first_answer_s),
        )


PATIENT = Patience()
