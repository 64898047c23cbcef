"""From a pod's words to the runtime's."""

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, EnvVar, Resources, VolumeMount
from cubernetes.api.core.podspec.spec import HostAlias
from cubernetes.api.core.podspec.volumes.volume import ConfigMapVolume, EmptyDir, Volume
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.client.connect import ClientSettings
from cubernetes.host.names.resolvconf import ResolvConf
from kubelet.pod.decisions import specs
from kubelet.runtime.driver import Allotment, DeviceFile, Mount, RuntimeTrouble
from kubelet.settings import KubeletSettings
from tests.given import a_container, a_pod

SETTINGS = KubeletSettings(
    node_name="n1",
    address="192.168.78.11",
    client=ClientSettings(servers=("https://192.168.78.11:6443",), ca="ca.crt"),
    dns_servers=("10.96.0.10",),
)


def a_whole_pod() -> Pod:
    pod = a_pod("web-0")
    container = replaced(
        a_container(cpu="250m"),
        env=(EnvVar(name="A", value="1"),),
        command=("/web",),
        volume_mounts=(VolumeMount(name="data", mount_path="/data", read_only=True),),
    )
    volumes = (Volume(name="data", empty_dir=EmptyDir()),)
    return replaced(pod, spec=replaced(pod.spec, containers=(container,), volumes=volumes))


def test_a_sandbox_knows_its_own_name_at_its_own_address() -> None:
    spec = specs.sandbox_spec(a_whole_pod(), 0, "10.244.1.7", SETTINGS)

    assert spec.hostname == "web-0"
    assert spec.extra_hosts == {"web-0": "10.244.1.7"}
    assert spec.dns_servers == ("10.96.0.10",)


def test_a_pod_asks_for_the_namespaces_of_its_node_and_has_its_names_with_its_network() -> None:
    pod = a_whole_pod()
    (wanted,) = pod.spec.containers
    for part in ("host_network", "host_pid", "host_ipc"):
        asking = replaced(pod, spec=replaced(pod.spec, **{part: True}))
        sandbox = specs.sandbox_spec(asking, 0, SETTINGS.address, SETTINGS)
        made = specs.container_spec(asking, wanted, 0, {"data": "/d"}, 1 << 30)

        assert sandbox.is_host_network is made.is_host_network is (part == "host_network")
        assert sandbox.is_host_ipc is made.is_host_ipc is (part == "host_ipc")
        assert made.is_host_pid is (part == "host_pid")
        assert bool(sandbox.extra_hosts) is (part != "host_network")


def test_a_pod_may_keep_to_the_nodes_own_name_service() -> None:
    pod = a_whole_pod()
    default = replaced(pod, spec=replaced(pod.spec, dns_policy="Default"))
    host = ResolvConf(("192.0.2.53",), ("example.org",), ("timeout:1",))

    spec = specs.sandbox_spec(default, 0, "10.244.1.7", SETTINGS, host)
    assert (spec.dns_servers, spec.dns_searches) == (("192.0.2.53",), ("example.org",))
    assert spec.dns_options == ("timeout:1",)


def test_a_pod_finds_more_names_in_the_order_that_it_gives() -> None:
    pod = a_whole_pod()
    aliases = (
        HostAlias(ip="192.0.2.9", hostnames=("db", "db.example.org")),
        HostAlias(ip="192.0.2.1", hostnames=("db",)),
    )
    spec = replaced(pod.spec, host_aliases=aliases)

    assert specs.sandbox_spec(replaced(pod, spec=spec), 0, "10.244.1.7", SETTINGS).host_aliases == (
        ("db", "192.0.2.9"), ("db.example.org", "192.0.2.9"), ("db", "192.0.2.1"),
    )  # fmt: skip


def test_a_container_finds_the_file_for_its_last_message_where_it_says() -> None:
    pod = a_whole_pod()
    main = replaced(pod.spec.containers[0], termination_message_path="/tmp/last")
    volumes = {"data": "/volumes/data"}

    made = specs.container_spec(pod, main, 0, volumes, 1 << 30, message_file="/m/main-0")
    assert made.mounts[-1] == Mount("/m/main-0", "/tmp/last")
    assert len(specs.container_spec(pod, main, 0, volumes, 1 << 30).mounts) == 1


def test_a_pod_of_a_headless_service_finds_its_full_name_at_its_own_address() -> None:
    pod = a_whole_pod()
    named = replaced(pod, spec=replaced(pod.spec, hostname="db-0", subdomain="db"))

    assert specs.sandbox_spec(named, 0, "10.244.1.7", SETTINGS).extra_hosts == {
        "db-0.db.default.svc.cluster.local": "10.244.1.7",
        "db-0": "10.244.1.7",
    }


def test_a_pod_has_its_full_name_as_its_host_name_where_it_asks_for_it() -> None:
    pod = a_whole_pod()
    named = replaced(pod.spec, hostname="db-0", subdomain="db", set_hostname_as_fqdn=True)

    def hostname(**fields: object) -> str:
        one = replaced(pod, spec=replaced(named, **fields))
        return specs.sandbox_spec(one, 0, "10.244.1.7", SETTINGS).hostname

    assert hostname() == "db-0.db.default.svc.cluster.local"
    assert hostname(subdomain="") == "db-0"
    assert hostname(set_hostname_as_fqdn=False) == "db-0"
    assert hostname(subdomain="d" * 33) == f"db-0.{'d' * 33}.default.svc.cluster.local"
    with pytest.raises(RuntimeTrouble, match=r"64 characters is the max, 65 characters requested"):
        hostname(subdomain="d" * 34)


def test_a_long_name_makes_a_hostname_that_linux_takes() -> None:
    pod = a_pod("w" * 62 + "-" + "x" * 40)

    hostname = specs.sandbox_spec(pod, 0, "10.244.1.7", SETTINGS).hostname
    assert hostname == "w" * 62


def test_a_container_is_asked_for_as_its_pod_says() -> None:
    pod = a_whole_pod()
    spec = specs.container_spec(
        pod, pod.spec.containers[0], 3, {"data": "/var/volumes/data"}, 8 << 30
    )

    assert (spec.attempt, spec.command, spec.args) == (3, ("/web",), None)
    assert spec.env == {"A": "1"}
    assert spec.mounts == (Mount("/var/volumes/data", "/data", read_only=True),)
    assert (spec.cpu_request_milli, spec.cpu_limit_milli, spec.memory_limit_bytes) == (250, 0, 0)


def test_variables_are_replaced_in_a_containers_own_words() -> None:
    one = replaced(
        a_container(),
        env=(EnvVar(name="PORT", value="80"), EnvVar(name="URL", value="http://:$(PORT)")),
        command=("/web", "$(URL)"),
        args=("-p", "$(PORT)", "$$(PORT)"),
    )
    spec = specs.container_spec(a_pod(containers=(one,)), one, 0, {}, 8 << 30)

    assert spec.env == {"PORT": "80", "URL": "http://:80"}
    assert spec.command == ("/web", "http://:80")
    assert spec.args == ("-p", "80", "$(PORT)")


def test_memory_ends_pods_before_what_holds_their_namespaces() -> None:
    pod = a_whole_pod()
    one = pod.spec.containers[0]
    asked = replaced(one, resources=Resources(requests={"memory": Quantity("2Gi")}))
    burstable = replaced(pod, spec=replaced(pod.spec, containers=(asked,)))

    def score(wanted: Container) -> int:
        spec = specs.container_spec(burstable, wanted, 0, {"data": "/d"}, 8 << 30)
        return spec.oom_score_adj

    assert score(asked) == 750
    assert specs.sandbox_spec(pod, 0, "10.244.1.7", SETTINGS).oom_score_adj == -998


def test_a_limit_without_a_request_is_also_the_request() -> None:
    pod = a_whole_pod()
    one = pod.spec.containers[0]
    limits = {"cpu": Quantity("2"), "memory": Quantity("64Mi")}
    limited = replaced(one, resources=replaced(one.resources, limits=limits, requests={}))

    spec = specs.container_spec(pod, limited, 0, {"data": "/d"}, 8 << 30)
    assert (spec.cpu_request_milli, spec.cpu_limit_milli) == (2000, 2000)
    assert spec.memory_limit_bytes == 64 << 20


def test_a_pod_may_have_another_host_name_than_its_own() -> None:
    pod = a_whole_pod()
    named = replaced(pod, spec=replaced(pod.spec, hostname="db"))

    spec = specs.sandbox_spec(named, 0, "10.244.1.7", SETTINGS)

    assert (spec.hostname, spec.extra_hosts) == ("db", {"db": "10.244.1.7"})


@pytest.mark.parametrize("is_shared", [True, False, None])
def test_containers_share_their_processes_only_where_the_pod_says_so(
    is_shared: bool | None,
) -> None:
    pod = a_whole_pod()
    asking = replaced(pod, spec=replaced(pod.spec, share_process_namespace=is_shared))

    spec = specs.container_spec(asking, pod.spec.containers[0], 0, {"data": "/d"}, 8 << 30)

    assert spec.share_pids is bool(is_shared)


def test_a_container_is_named_made_of_its_image_and_begins_in_its_folder() -> None:
    pod = a_whole_pod()
    one = replaced(a_container("second", "cubernetes/busybox:1"), working_dir="/srv")

    spec = specs.container_spec(pod, one, 0, {}, 8 << 30)

    assert (spec.name, spec.image, spec.working_dir) == ("second", "cubernetes/busybox:1", "/srv")


def test_a_container_has_an_input_and_a_terminal_where_it_asks_for_them() -> None:
    pod = a_whole_pod()
    one = replaced(a_container(), stdin=True, stdin_once=True, tty=True)

    spec = specs.container_spec(pod, one, 0, {}, 8 << 30)
    plain = specs.container_spec(pod, a_container(), 0, {}, 8 << 30)

    assert (spec.has_stdin, spec.is_stdin_once, spec.has_terminal) == (True, True, True)
    assert (plain.has_stdin, plain.is_stdin_once, plain.has_terminal) == (False, False, False)


def a_pod_that_mounts(*mounts: VolumeMount, **variables: str) -> tuple[Pod, Container]:
    env = tuple(EnvVar(name=name, value=value) for name, value in variables.items())
    one = replaced(a_container(), env=env, volume_mounts=mounts)
    pod = a_pod(containers=(one,))
    volumes = (
        Volume(name="data", empty_dir=EmptyDir()),
        Volume(name="conf", config_map=ConfigMapVolume(name="c")),
    )
    return replaced(pod, spec=replaced(pod.spec, volumes=volumes)), one


def test_a_part_of_a_volume_is_named_by_the_containers_variables() -> None:
    pod, one = a_pod_that_mounts(
        VolumeMount(name="data", mount_path="/a", sub_path_expr="$(POD)/$$(X)"),
        VolumeMount(name="data", mount_path="/b", sub_path="$(POD)"),
        VolumeMount(name="data", mount_path="/c", mount_propagation="HostToContainer"),
        POD="web-0",
    )
    parts = specs.sub_paths(pod, one)
    assert parts == {0: "web-0/$(X)", 1: "$(POD)"}
    spec = specs.container_spec(pod, one, 0, {"data": "/d"}, 8 << 30, parts={0: "/x", 1: "/y"})
    assert [(each.source, each.propagation) for each in spec.mounts] == [
        ("/x", "rprivate"),
        ("/y", "rprivate"),
        ("/d", "rslave"),
    ]


@pytest.mark.parametrize(
    ("expr", "value", "told"),
    [
        ("$(GONE)/a", "x", "missing value for GONE"),
        ("$(DIR)", "/etc", "must be a relative path"),
        ("a/$(DIR)", "../../etc", "must be a relative path"),
    ],
)
def test_a_variable_leads_no_part_out_of_its_volume(expr: str, value: str, told: str) -> None:
    mount = VolumeMount(name="data", mount_path="/a", sub_path_expr=expr)
    pod, one = a_pod_that_mounts(mount, DIR=value)
    with pytest.raises(RuntimeTrouble, match=told) as refused:
        specs.sub_paths(pod, one)
    assert refused.value.reason == "CreateContainerConfigError"


def test_no_container_writes_to_what_is_made_from_objects() -> None:
    pod, one = a_pod_that_mounts(VolumeMount(name="conf", mount_path="/c"))
    spec = specs.container_spec(pod, one, 0, {"conf": "/d"}, 8 << 30)
    assert spec.mounts == (Mount("/d", "/c", read_only=True),)


def test_devices_bring_files_mounts_and_variables_and_the_containers_own_win() -> None:
    mount = VolumeMount(name="data", mount_path="/lib/own.so")
    pod, one = a_pod_that_mounts(mount, LD_LIBRARY_PATH="/mine")
    devices = Allotment(
        nodes=(DeviceFile("/dev/x0", "/dev/x0"),),
        mounts=(Mount("/l/x.so", "/lib/x.so", True), Mount("/l/own.so", "/lib/own.so", True)),
        env={"LD_LIBRARY_PATH": "/lib", "CUBE_DEVICES": "example.com/x=0"},
        held="example.com/x=0",
    )
    spec = specs.container_spec(pod, one, 0, {"data": "/d"}, 8 << 30, devices=devices)
    assert spec.env == {"LD_LIBRARY_PATH": "/mine", "CUBE_DEVICES": "example.com/x=0"}
    assert spec.mounts == (Mount("/d", "/lib/own.so"), Mount("/l/x.so", "/lib/x.so", True))
    assert (spec.devices, spec.held) == (devices.nodes, "example.com/x=0")
