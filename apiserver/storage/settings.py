"""Where etcd is, who we are to it, and how long we wait for it."""

from cubernetes.host.settings import Settings


class EtcdSettings(Settings, frozen=True, kw_only=True):
    """Endpoints are "host:port". Without certificates only loopback addresses are accepted."""

    endpoints: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    # For one attempt at one endpoint; an attempt goes to another endpoint only where it is safe.
    deadline_s: float = 5.0
    # What etcd was told by --quota-backend-bytes, which it does not tell again; 0: not known.
    quota_bytes: int = 0
    # For the acts that read and write the whole file.
    upkeep_deadline_s: float = 60.0
    # Silence of a watch after which progress is asked for: idle watches speak every 2 x this.
    watch_idle_s: float = 4.0
    # Silence, in spite of having asked, after which a watch looks for another connection.
    watch_stall_s: float = 10.0
