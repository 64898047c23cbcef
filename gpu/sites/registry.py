"""Every type of site, by what a GpuSite calls it."""

from collections.abc import Callable, Mapping

from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from gpu.driver import SiteDriver
from gpu.settings import GpuSettings
from gpu.sites.local import LocalSites
from gpu.sites.slurm.driver import SlurmSites
from gpu.sites.standin import StandIns

type Drivers = Mapping[str, SiteDriver]

DRIVERS: Mapping[str, Callable[[Client, Env, GpuSettings], SiteDriver]] = {
    "local": lambda client, env, _settings: LocalSites(client, env),
    "slurm": lambda client, _env, settings: SlurmSites(client, settings.output_bytes_max),
    "standin": lambda client, env, settings: StandIns(client, env, settings.stand_in_image),
}


def drivers_for(client: Client, env: Env, settings: GpuSettings) -> Drivers:
    return {name: make(client, env, settings) for name, make in DRIVERS.items()}
