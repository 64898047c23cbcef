"""Docker's words and ours: what is asked of the engine, and what its answers mean."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.names.resolvconf import ResolvConf, parsed
from kubelet.runtime.docker_words import (
    LOCAL_NAMES,
    NotAReference,
    container_body,
    container_from,
    container_name,
    image_names,
    image_reference,
    is_half_down,
    is_newer,
    is_usable,
    labels_of,
    marked,
    moment,
    name_files,
    sandbox_body,
    signal_of,
)
from kubelet.runtime.driver import SANDBOX, ContainerSpec, DeviceFile, Mount, SandboxSpec, State

UID = "6f1e-77"
POD = SandboxSpec(
    UID, "web_0", "shop", "web-0", "pause:1", extra_hosts={"b": "1.1.1.1", "a": "::1"}
)


def a_spec(**fields: Any) -> ContainerSpec:
    given_ = {"pod_uid": UID, "pod_name": "web_0", "namespace": "shop", "name": "main"}
    return ContainerSpec(**(given_ | {"image": "busybox:1"} | fields))


def an_inspection(spec: ContainerSpec, **state: object) -> dict[str, Any]:
    return {
        "Id": "abc",
        "Created": "2026-11-20T05:00:00.123456789Z",
        "Image": "sha256:1",
        "Config": {"Labels": labels_of(spec), "Image": spec.image},
        "HostConfig": {"NetworkMode": "container:box"},
        "State": {"Status": "running", "Pid": 7, "ExitCode": 0} | state,
    }


def made_by(spec: ContainerSpec) -> dict[str, Any]:
    """Return the inspection of a container that this driver made in the sandbox called box."""
    found = an_inspection(spec)
    found["Config"]["Labels"] = marked(container_body(spec, "box", "/g"))["Labels"]
    return found


@pytest.mark.parametrize(
    ("image", "name", "tag"),
    [
        ("busybox", "busybox", "latest"),
        ("busybox:1.36", "busybox", "1.36"),
        ("host:5000/a/b", "host:5000/a/b", "latest"),
        ("host:5000/a/b:x", "host:5000/a/b", "x"),
        ("a/b@sha256:" + "0" * 64, "a/b", "sha256:" + "0" * 64),
        ("a/b:1@sha256:" + "0" * 64, "a/b", "sha256:" + "0" * 64),
    ],
)
def test_a_pull_names_one_tag(image: str, name: str, tag: str) -> None:
    assert image_reference(image) == (name, tag)


@pytest.mark.parametrize(
    "image", ["", "A", "a b", "../x", "a//b", "a:", "a@", "a?b=1", "a\n", "a:b:c", "x" * 600]
)
def test_what_could_leave_its_place_in_a_path_is_no_image(image: str) -> None:
    with pytest.raises(NotAReference):
        image_reference(image)


@given(st.text(max_size=40))
def test_no_text_becomes_a_reference_with_a_foreign_letter(text: str) -> None:
    try:
        name, tag = image_reference(text)
    except NotAReference:
        return
    assert not set(name + tag) & set("?#% \n\\")
    assert ".." not in name.split("/")


def test_a_name_is_within_limits_and_differs_by_uid_and_attempt() -> None:
    long = a_spec(pod_name="p" * 253)
    names = {container_name(a_spec(pod_name="p" * 253, attempt=n)) for n in range(3)}
    assert len(names) == 3
    assert len(container_name(long)) <= 255
    assert container_name(POD) == "cube_POD_web_0_shop_6f1e-77_0"


@pytest.mark.parametrize(
    ("command", "args", "wanted"),
    [
        (None, None, {}),
        (["a"], None, {"Entrypoint": ["a"], "Cmd": []}),
        (["a"], ["b"], {"Entrypoint": ["a"], "Cmd": ["b"]}),
        (None, ["b"], {"Cmd": ["b"]}),
    ],
)
def test_command_and_args_mean_what_they_mean_in_kubernetes(
    command: list[str] | None, args: list[str] | None, wanted: dict[str, object]
) -> None:
    body = container_body(a_spec(command=command, args=args), "box", "/g")
    assert {key: body[key] for key in ("Entrypoint", "Cmd") if key in body} == wanted


def test_limits_are_in_the_kernels_units() -> None:
    spec = a_spec(cpu_request_milli=250, cpu_limit_milli=1500, memory_limit_bytes=64 << 20)
    host: Any = container_body(spec, "box", "/g")["HostConfig"]
    assert (host["CpuShares"], host["CpuQuota"], host["CpuPeriod"]) == (256, 150_000, 100_000)
    assert host["Memory"] == host["MemorySwap"] == 64 << 20


@given(request=st.integers(0, 10**7), limit=st.integers(1, 10**7))
def test_no_share_or_quota_is_one_that_the_kernel_refuses(request: int, limit: int) -> None:
    spec = a_spec(cpu_request_milli=request, cpu_limit_milli=limit)
    host: Any = container_body(spec, "box", "/g")["HostConfig"]
    assert 2 <= host["CpuShares"] <= 262_144
    assert host["CpuQuota"] >= 1_000


def test_the_kernel_is_told_whom_to_end_first() -> None:
    host: Any = container_body(a_spec(oom_score_adj=750), "box", "/g")["HostConfig"]
    assert host["OomScoreAdj"] == 750
    sandbox: Any = sandbox_body(replace(POD, oom_score_adj=-998), "/g", "/n")["HostConfig"]
    assert sandbox["OomScoreAdj"] == -998


def test_without_limits_none_is_set() -> None:
    host: Any = container_body(a_spec(), "box", "/g")["HostConfig"]
    assert host["CpuShares"] == 2
    assert not host.keys() & {"CpuQuota", "Memory", "MemorySwap", "PidMode"}


def test_w44_a_container_joins_its_sandbox_and_its_pids_only_when_asked() -> None:
    host: Any = container_body(a_spec(share_pids=True), "box", "/g")["HostConfig"]
    assert {host[key] for key in ("NetworkMode", "IpcMode", "PidMode")} == {"container:box"}
    assert host["CgroupParent"] == "/g"


def test_a_container_joins_the_processes_of_its_target_alone() -> None:
    spec = a_spec(target_id="main-id")
    body: Any = container_body(spec, "box", "/g")
    assert body["HostConfig"]["PidMode"] == "container:main-id"
    assert body["HostConfig"]["NetworkMode"] == "container:box"
    for wider, mode in (({"share_pids": True}, "container:box"), ({"is_host_pid": True}, "host")):
        host: Any = container_body(a_spec(target_id="main-id", **wider), "box", "/g")["HostConfig"]
        assert host["PidMode"] == mode

    # One that was made for a target which has ended since is made anew.
    found = made_by(spec)
    assert is_usable(found, State.CREATED, spec, marked(body))
    later = a_spec(target_id="main-later")
    assert not is_usable(found, State.CREATED, later, marked(container_body(later, "box", "/g")))


def test_a_pod_has_the_namespaces_of_the_node_that_it_asks_for() -> None:
    own: Any = sandbox_body(POD, "/g", "/n")
    assert (own["HostConfig"]["NetworkMode"], own["HostConfig"]["IpcMode"]) == ("none", "shareable")
    assert own["Hostname"] == POD.hostname

    nodes: Any = sandbox_body(replace(POD, is_host_network=True, is_host_ipc=True), "/g", "/n")
    modes = [nodes["HostConfig"][key] for key in ("NetworkMode", "UTSMode", "IpcMode")]
    assert modes == ["host"] * 3
    # Docker refuses a host name of its own beside the node's.
    assert "Hostname" not in nodes

    spec = a_spec(is_host_network=True, is_host_pid=True, is_host_ipc=True)
    host: Any = container_body(spec, "box", "/g")["HostConfig"]
    modes = [host[key] for key in ("NetworkMode", "UTSMode", "PidMode", "IpcMode")]
    assert modes == ["container:box", "host", "host", "host"]


def test_a_path_with_a_colon_is_mounted_as_it_is() -> None:
    spec = a_spec(mounts=[Mount("/a:b", "/c", read_only=True)], env={"B": "2", "A": "1=1"})
    body: Any = container_body(spec, "box", "/g")
    mount = {"Type": "bind", "Source": "/a:b", "Target": "/c", "ReadOnly": True}
    assert body["HostConfig"]["Mounts"] == [mount]
    assert body["Env"] == ["A=1=1", "B=2"]


def test_later_mounts_are_seen_as_a_mount_says() -> None:
    body: Any = container_body(
        a_spec(mounts=[Mount("/a", "/b", propagation="rslave")]), "box", "/g"
    )
    (mount,) = body["HostConfig"]["Mounts"]
    assert mount["BindOptions"] == {"Propagation": "rslave"}


def test_a_sandbox_has_no_network_yet_and_its_names_from_our_files() -> None:
    body: Any = sandbox_body(POD, "/g", "/n")
    assert (body["NetworkDisabled"], body["HostConfig"]["NetworkMode"]) == (True, "none")
    assert body["HostConfig"]["IpcMode"] == "shareable"
    assert body["Labels"]["cubernetes.io/container"] == SANDBOX
    mounts = {one["Target"]: one["Source"] for one in body["HostConfig"]["Mounts"]}
    assert mounts == {f"/etc/{name}": f"/n/{name}" for name in name_files(POD)}
    # The engine refuses to be told of names where it has none to write.
    assert not {"Dns", "DnsSearch", "DnsOptions", "ExtraHosts"} & body["HostConfig"].keys()


def test_a_pod_with_a_network_of_its_own_has_no_ipv6_unless_it_asks() -> None:
    asked = {"net.ipv6.conf.all.disable_ipv6": "0"}
    body: Any = sandbox_body(POD, "/g", "/n")
    assert body["HostConfig"]["Sysctls"] == {"net.ipv6.conf.all.disable_ipv6": "1"}
    asking: Any = sandbox_body(replace(POD, sysctls=asked), "/g", "/n")
    assert asking["HostConfig"]["Sysctls"] == asked
    # A kernel without it refuses to be told.
    bare: Any = sandbox_body(POD, "/g", "/n", has_ipv6=False)
    nodes: Any = sandbox_body(replace(POD, is_host_network=True), "/g", "/n")
    assert not {"Sysctls"} & {*bare["HostConfig"], *nodes["HostConfig"]}


def test_a_sandbox_in_the_nodes_network_has_the_nodes_names_from_the_engine() -> None:
    spec = replace(POD, is_host_network=True, dns_servers=("192.0.2.53",), dns_options=("edns0",))
    body: Any = sandbox_body(spec, "/g", "/n")
    host = body["HostConfig"]
    assert (name_files(spec), host.get("Mounts"), body.get("NetworkDisabled")) == ({}, None, None)
    assert (host["Dns"], host["DnsOptions"]) == (["192.0.2.53"], ["edns0"])
    assert host["ExtraHosts"] == ["a:::1", "b:1.1.1.1"]


def test_a_pod_finds_localhost_itself_and_then_more_names_in_their_order() -> None:
    aliases = (("db", "192.0.2.9"), ("db", "192.0.2.1"))
    files = name_files(replace(POD, host_aliases=aliases))
    assert files["hosts"] == LOCAL_NAMES + "::1\ta\n1.1.1.1\tb\n192.0.2.9\tdb\n192.0.2.1\tdb\n"
    assert files["hosts"].startswith("127.0.0.1\tlocalhost\n")
    assert files["hostname"] == "web-0\n"


def test_whom_a_pod_asks_is_read_back_as_it_was_meant() -> None:
    assert name_files(POD)["resolv.conf"] == ""
    said = ResolvConf(("192.0.2.1", "192.0.2.2"), ("a.example", "b.example"), ("ndots:5", "edns0"))
    spec = replace(
        POD, dns_servers=said.servers, dns_searches=said.searches, dns_options=said.options
    )
    assert parsed(name_files(spec)["resolv.conf"]) == said


def test_what_was_labelled_is_what_is_found() -> None:
    spec = a_spec(attempt=4, spec_hash="h")
    found = container_from(an_inspection(spec, StartedAt="2026-11-20T05:00:01Z"))
    assert (found.pod_uid, found.pod_name, found.namespace) == (UID, "web_0", "shop")
    assert (found.name, found.attempt, found.spec_hash) == ("main", 4, "h")
    assert (found.state, found.pid, found.finished_at) == (State.RUNNING, 7, None)
    assert found.created_at == datetime(2026, 11, 20, 5, 0, 0, 123456, UTC)


def test_an_end_tells_its_code_signal_and_cause() -> None:
    found = container_from(
        an_inspection(
            a_spec(),
            Status="exited",
            ExitCode=137,
            OOMKilled=True,
            StartedAt="2026-11-20T06:00:02.5+01:00",
            FinishedAt="2026-11-20T05:00:02Z",
        )
    )
    assert (found.state, found.exit_code, found.signal, found.oom_killed) == (
        State.EXITED,
        137,
        9,
        True,
    )
    assert found.started_at == found.finished_at == datetime(2026, 11, 20, 5, 0, 2, 500000, UTC)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("created", State.CREATED),
        ("running", State.RUNNING),
        ("paused", State.RUNNING),
        ("exited", State.EXITED),
        ("dead", State.EXITED),
        ("removing", State.EXITED),
    ],
)
def test_each_word_of_docker_is_one_of_ours(word: str, state: State) -> None:
    assert container_from(an_inspection(a_spec(), Status=word)).state is state


@pytest.mark.parametrize(("code", "signal"), [(0, 0), (3, 0), (128, 0), (137, 9), (143, 15)])
def test_a_code_above_128_is_a_signal(code: int, signal: int) -> None:
    assert signal_of(code) == signal


def test_a_container_lost_in_a_power_cut_met_no_signal() -> None:
    assert signal_of(255) == 0


def test_a_zero_time_is_no_time() -> None:
    assert moment("0001-01-01T00:00:00Z") is None
    assert moment("") is None


def test_half_made_serves_only_in_the_same_sandbox() -> None:
    spec = a_spec()
    body, elsewhere = (marked(container_body(spec, box, "/g")) for box in ("box", "other"))
    found = made_by(spec)
    assert is_usable(found, State.CREATED, spec, body)
    assert not is_usable(found, State.CREATED, spec, elsewhere)
    assert is_usable(found, State.EXITED, spec, elsewhere)
    assert not is_usable(found, State.RUNNING, a_spec(spec_hash="new"), body)


@pytest.mark.parametrize(
    "changed",
    [{"env": {"A": "2"}}, {"env": {}}, {"mounts": [Mount("/a", "/b")]}, {"args": ["x"]}],
    ids=str,
)
def test_half_made_serves_only_as_what_it_was_made_of(changed: dict[str, Any]) -> None:
    before, now = a_spec(env={"A": "1"}), a_spec(**({"env": {"A": "1"}} | changed))
    wanted = marked(container_body(now, "box", "/g"))
    assert not is_usable(made_by(before), State.CREATED, now, wanted)
    assert is_usable(made_by(now), State.CREATED, now, wanted)
    assert is_usable(made_by(before), State.RUNNING, now, wanted)
    # One of a kubelet that gave no such mark.
    assert not is_usable(an_inspection(now), State.CREATED, now, wanted)


def test_devices_are_given_without_the_right_to_make_files_of_others() -> None:
    files = (DeviceFile("/dev/x0", "/dev/x0"), DeviceFile("/dev/xctl", "/dev/ctl", "r"))
    spec = a_spec(devices=files, held="example.com/x=0")
    body: Any = container_body(spec, "box", "/g")
    assert body["HostConfig"]["Devices"] == [
        {"PathOnHost": "/dev/x0", "PathInContainer": "/dev/x0", "CgroupPermissions": "rw"},
        {"PathOnHost": "/dev/xctl", "PathInContainer": "/dev/ctl", "CgroupPermissions": "r"},
    ]
    assert body["Labels"]["cubernetes.io/devices"] == "example.com/x=0"
    assert container_from(an_inspection(spec)).held == "example.com/x=0"
    plain: Any = container_body(a_spec(), "box", "/g")
    assert "Devices" not in plain["HostConfig"]
    assert "cubernetes.io/devices" not in plain["Labels"]

    found = made_by(spec)
    other = replace(spec, held="example.com/x=1")
    assert is_usable(found, State.CREATED, spec, marked(body))
    assert not is_usable(found, State.CREATED, other, marked(container_body(other, "box", "/g")))


def test_versions_compare_as_numbers() -> None:
    assert is_newer("1.100", "1.41")
    assert not is_newer("1.41", "1.41")


def test_an_engine_without_its_containerd_is_down_and_nobodys_fault() -> None:
    said = 'connection error: desc = "transport: Error while dialing dial unix /x": unavailable'
    assert is_half_down(said)
    assert not is_half_down("OCI runtime create failed: exec: no such file: unknown")


def test_w44_no_container_can_gain_privileges_or_is_restarted_behind_our_back() -> None:
    host: Any = container_body(a_spec(), "box", "/g")["HostConfig"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert 0 < int(host["PidsLimit"]) < 32768  # a fork bomb stays in its container
    assert not host.get("Privileged")
    assert host["CapDrop"] == ["NET_RAW"]
    assert "CapAdd" not in host
    assert host["RestartPolicy"] == {"Name": "no"}


def test_an_image_has_the_names_by_which_pods_may_call_it() -> None:
    listed = {
        "RepoTags": ["web:1", "<none>:<none>"],
        "RepoDigests": ["web@sha256:aa", "<none>@<none>"],
    }
    assert image_names(listed) == ("web:1", "web@sha256:aa")
    assert image_names({"RepoTags": None, "RepoDigests": None}) == ()
