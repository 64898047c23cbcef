"""Roads and services to a model, and from it to nginx's configuration: exact, stable, unmistakable.

What nginx itself thinks of these texts, and of hostile ones, stands in
tests/contract/gateway/test_nginx.py.
"""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.meta import Ref
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.roads import roads_of
from gateway.nginx.quoting import TOKEN_BYTES_MAX, Unquotable, literal, quoted
from gateway.nginx.text import Configuration, Facts, configuration_for, guilty
from gateway.roads.compile import model_for
from gateway.roads.model import Model
from tests.given import a_service
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress

WEB = a_service("web")
CART = a_service("cart", cluster_ip="10.96.0.11", ports=(ServicePort(port=8080, name="http"),))


def model(*claimants: Ingress | Dns, services: tuple[Service, ...] = (WEB, CART)) -> Model:
    ingresses = [one for one in claimants if isinstance(one, Ingress)]
    dnses = [one for one in claimants if isinstance(one, Dns)]
    return model_for(roads_of(ingresses, CLASSES, dnses), services)


def text(some: Model) -> Configuration:
    return configuration_for(some, Facts())


def servers(configuration: Configuration) -> str:
    """Return the blocks of hosts: from the default server to that of the status."""
    whole = configuration.content.decode()
    return whole[whole.index("  server {") : whole.index("  server {\n    listen 127.0.0.1")]


def test_the_exact_text_of_a_host() -> None:
    found = text(model(a_dns("d", "a.example", "/x web", "=/y cart:http")))

    assert servers(found) == (
        "  server {\n"
        "    listen 80 default_server;\n"
        "    http2 on;\n"
        '    server_name "";\n'
        '    set $cube_road_host "";\n'
        '    set $cube_road_path "";\n'
        '    set $cube_road_service "";\n'
        '    location "/" {\n'
        "      return 404;\n"
        "    }\n"
        "  }\n"
        "  server {\n"
        "    listen 80;\n"
        "    http2 on;\n"
        '    server_name "a.example";\n'
        '    set $cube_road_host "a.example";\n'
        '    set $cube_road_path "";\n'
        '    set $cube_road_service "";\n'
        '    location = "/x" {\n'
        '      set $cube_road_path "/x";\n'
        '      set $cube_road_service "default/web:80";\n'
        '      proxy_pass "http://default_web_80";\n'
        "    }\n"
        '    location "/x/" {\n'
        '      set $cube_road_path "/x";\n'
        '      set $cube_road_service "default/web:80";\n'
        '      proxy_pass "http://default_web_80";\n'
        "    }\n"
        '    location = "/y" {\n'
        '      set $cube_road_path "=/y";\n'
        '      set $cube_road_service "default/cart:http";\n'
        '      proxy_pass "http://default_cart_8080";\n'
        "    }\n"
        '    location "/" {\n'
        "      return 404;\n"
        "    }\n"
        "  }\n"
        "  server {\n"
        "    listen 443 ssl default_server;\n"
        '    ssl_certificate "$cube_tls/self-made.pem";\n'
        '    ssl_certificate_key "$cube_tls/self-made.pem";\n'
        "    http2 on;\n"
        '    set $cube_road_host "";\n'
        '    set $cube_road_path "";\n'
        '    set $cube_road_service "";\n'
        "    return 404;\n"
        "  }\n"
    )
    whole = found.content.decode()
    assert (
        '  upstream "default_cart_8080" {\n    server 10.96.0.11:8080;\n    keepalive 0;\n  }\n'
        in whole
    )


def test_a_wildcard_is_one_label() -> None:
    found = servers(text(model(an_ingress("a", ("*.a.example", ("/ web",))))))

    assert r'server_name "~^[^.]+\\.a\\.example$";' in found


@given(st.permutations([a_dns("a", "a.example"), a_dns("b", "b.example"), an_ingress("c")]))
def test_the_order_of_objects_is_seen_by_nobody(some: list[Ingress | Dns]) -> None:
    chance = Random(1)
    services = [WEB, CART]
    chance.shuffle(services)

    assert text(model(*some, services=tuple(services))) == text(
        model(*sorted(some, key=lambda one: one.ref))
    )


def test_another_model_is_another_generation_and_the_same_model_the_same() -> None:
    one, other = text(model(a_dns())), text(model(a_dns("roads", "other.example")))

    assert one.generation != other.generation
    assert one == text(model(a_dns()))


def test_another_node_is_another_generation() -> None:
    """What no host's block says, such as how long workers may take, was in no generation."""
    others = (
        Facts(),
        Facts(drain_s=61),
        Facts(status_port=1),
        Facts(http_port=81),
        Facts(log="off"),
    )
    found = [configuration_for(Model(), facts) for facts in others]

    assert len({one.generation for one in found}) == len(others)
    assert f'return 200 "{found[0].generation}";' in found[0].content.decode()


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ((), "there is no service web"),
        ((a_service("web", ports=(ServicePort(port=81),)),), "service web has no port 80"),
        ((a_service("web", cluster_ip="None"),), "service web has no cluster IP"),
        (
            (a_service("web", ports=(ServicePort(port=80, protocol="UDP"),)),),
            "port 80 of service web is UDP, no TCP",
        ),
    ],
)
def test_w28_a_road_to_what_is_not_there_answers_503_and_is_told_until_it_is(
    services: tuple[Service, ...], why: str
) -> None:
    """The forerunner dropped such a Dns without a word, and never looked again."""
    dns = a_dns("d", "a.example", "/x web", "/ cart:http")

    early = model(dns, services=(*services, CART))
    assert early.problems == {dns.ref: (f"Prefix /x of a.example: {why}",)}
    assert servers(text(early)).count("return 503;") == 2
    late = model(dns)
    assert late.problems == {}
    assert "503" not in servers(text(late))


def test_w28_a_service_whose_address_changes_is_followed() -> None:
    moved = a_service("web", cluster_ip="10.96.0.99")

    assert "server 10.96.0.99:80;" in text(model(a_dns(), services=(moved,))).content.decode()


def test_a_refusal_of_nginx_is_led_back_to_the_object() -> None:
    found = text(model(a_dns("bad", "a.example"), a_dns("good", "b.example")))
    lines = [line.text for line in found.lines]
    number = lines.index('    server_name "a.example";') + 1
    said = f"nginx: [emerg] something in /etc/cube-gateway/conf/abc/nginx.conf:{number}\n"

    assert guilty(found, said) == {Ref("Dns", "default", "bad")}
    assert guilty(found, "nginx.conf:1\nnginx.conf:99999\nnginx.conf:0") == frozenset()


def tokens(text: str) -> list[str]:
    """Read quoted tokens as nginx does (ngx_conf_read_token): the oracle of the quoting."""
    found, current, is_inside, is_escaped = [], "", False, False
    for char in text:
        if is_escaped:
            current += (
                char
                if char in "\"'\\"
                else {"t": "\t", "r": "\r", "n": "\n"}.get(char, "\\" + char)
            )
            is_escaped = False
        elif is_inside and char == "\\":
            is_escaped = True
        elif char == '"':
            if is_inside:
                found.append(current)
            current, is_inside = "", not is_inside
        elif is_inside:
            current += char
        else:
            assert char == " ", f"{char!r} stands outside of a token"
    assert not is_inside
    return found


@given(st.lists(st.text(max_size=60), max_size=4))
@example(['"; } server { listen 81; '])
@example(["\\", '\\"', "\\n", "${x}", "#", "';"])
def test_w28_a_quoted_text_is_one_token_and_reads_as_itself(some: list[str]) -> None:
    kept, texts = [], []
    for one in some:
        try:
            texts.append(quoted(one))
        except Unquotable:
            assert any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in one) or any(
                0xD800 <= ord(char) <= 0xDFFF for char in one
            )
        else:
            kept.append(one)

    assert tokens(" ".join(texts)) == kept


def test_no_control_character_and_nothing_endless_is_quoted() -> None:
    for text_ in ("a\nb", "\x00", "\x7f", "a\r", "\u0085", "\ud800", "x" * (TOKEN_BYTES_MAX + 1)):
        with pytest.raises(Unquotable):
            quoted(text_)
    assert quoted("x" * TOKEN_BYTES_MAX)


def test_a_literal_has_no_variable_but_the_dollar_itself() -> None:
    assert literal("/a$b") == '"/a${cube_dollar}b"'
    assert literal("${host}") == '"${cube_dollar}{host}"'
