"""Machines that join in tests: their authority, their requests, and who they are afterwards."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.enrolment.signer import Authority
from cubernetes.host.web.messages import ANONYMOUS, Identity
from tests.contract.api.world import NODES, Answer, StillClock, Tree, World, a_node

TOKENS = "/apis/cubernetes.io/v1/tokens"
JOIN = "/apis/cubernetes.io/v1/join"


def an_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Authority(cert.public_bytes(serialization.Encoding.PEM), pem, StillClock())


def a_request(user: str, group: str, names: tuple[str, ...] = ()) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, user),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def address_of(node: str) -> str:
    """Return the address of a node that is called n and a number, and one for all others."""
    return f"10.0.0.{20 + int(node[1:])}" if node[1:].isdigit() else "10.0.0.9"


def a_join(node: str) -> Tree:
    return {
        "node": node,
        "addresses": [address_of(node)],
        "requests": {
            "kubelet": a_request(f"system:node:{node}", "system:nodes"),
            "kubelet-serving": a_request(f"system:node:{node}", "system:nodes", (node,)),
            "proxy": a_request(f"system:proxy:{node}", "system:proxies"),
            "resolver": a_request(f"system:resolver:{node}", "system:resolvers"),
        },
    }


async def a_token(world: World, **wish: object) -> str:
    made = (await world.call("POST", TOKENS, wish)).tree
    return f"{made['id']}.{made['secret']}"


async def asked_to_join(world: World, token: str, wish: Tree) -> Answer:
    headers = {"authorization": f"Bearer {token}"}
    return await world.call("POST", JOIN, wish, headers=headers, identity=ANONYMOUS)


async def join(world: World, token: str, node: str) -> int:
    return (await asked_to_join(world, token, a_join(node))).code


def kubelet_of(node: str, told: Tree) -> Identity:
    """Return who asks with the certificate of an answer to a join."""
    return Identity(f"system:node:{node}", ("system:nodes",), serial_in(told, "kubelet"))


def proxy_of(node: str, told: Tree) -> Identity:
    return Identity(f"system:proxy:{node}", ("system:proxies",), serial_in(told, "proxy"))


def serial_in(told: Tree, use: str) -> str:
    cert = x509.load_pem_x509_certificate(told["certificates"][use].encode())
    return f"{cert.serial_number:X}"


async def joined(world: World, node: str, **wish: object) -> Identity:
    """Let a machine join with a new token, and make its Node; return its kubelet."""
    answer = await asked_to_join(world, await a_token(world, **wish), a_join(node))
    assert answer.code == 200, answer.body
    kubelet = kubelet_of(node, answer.tree)
    made = await world.call("POST", NODES, a_node(node), identity=kubelet)
    assert made.code in (201, 409), made.body
    return kubelet
