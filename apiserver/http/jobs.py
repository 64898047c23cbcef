"""The way to what jobs have written elsewhere: the program of GPU jobs, over mutual TLS."""

from collections.abc import AsyncIterator

from apiserver.http.asking import Refusal, Silence, answered, mutual_tls, pieces_of, session_over
from apiserver.settings import Settings
from cubernetes.api.errors import BadRequest, NotFound, ServiceUnavailable

WHO = "the program of GPU jobs"
# The name of its serving certificate: it is reached on the loopback.
NAME = "gpu.cubernetes"


class HttpsJobs:
    """Made within the running loop, closed by its owner."""

    def __init__(self, settings: Settings) -> None:
        """Raises: OSError, ssl.SSLError: a certificate cannot be read."""
        self._url = settings.jobs_url
        self._session = session_over(mutual_tls(settings))

    async def open(self, path: str, query: str) -> AsyncIterator[bytes]:
        """See backend.JobOutputs."""
        try:
            url = f"{self._url}{path}?{query}"
            answer = await answered(self._session, url, NAME, {}, 200)
        except Refusal as refusal:
            raise told_of(refusal) from refusal
        except Silence as error:
            message = f"{WHO} cannot be reached (cuberoot enable gpu): {error}"
            raise ServiceUnavailable(message, retry_after_s=5) from error
        return pieces_of(answer, WHO)

    async def close(self) -> None:
        await self._session.close()


def told_of(refusal: Refusal) -> BadRequest | NotFound | ServiceUnavailable:
    """Return what the client is told of a refusal."""
    match refusal.status:
        case 400:
            return BadRequest(refusal.told)
        case 404:
            return NotFound(refusal.told)
        case _:
            return ServiceUnavailable(refusal.told, retry_after_s=5)
