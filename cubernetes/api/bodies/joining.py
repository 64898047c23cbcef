"""How a machine joins: what it asks with a bootstrap token, what it is given, and the tokens.

POST   /apis/cubernetes.io/v1/join         JoinRequest -> JoinAnswer     (a bootstrap token)
GET    /apis/cubernetes.io/v1/tokens       -> TokenList, without secrets (system:masters)
POST   /apis/cubernetes.io/v1/tokens       TokenWish -> Token, with its secret, this once
DELETE /apis/cubernetes.io/v1/tokens/<id>
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec

from cubernetes.api.meta import Model, shown

JOIN_PATH = "/apis/cubernetes.io/v1/join"
TOKENS_PATH = "/apis/cubernetes.io/v1/tokens"
CLUSTER_INFO_PATH = "/cluster-info"
# The certificates that every node needs, and a request for each of which a JoinRequest carries. One
# with an optional program carries a request more.
CERTIFICATES = ("kubelet", "kubelet-serving", "proxy", "resolver")


class JoinRequest(Model):
    """requests: a certificate request (PEM) by the names in CERTIFICATES.

    address_network: the network in which the node may state other addresses later.
    """

    node: str
    addresses: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)]
    requests: Mapping[str, str]
    address_network: str = ""


class JoinAnswer(Model):
    """certificates by the names in CERTIFICATES; servers are `https://address:port`.

    network: how nodes wire pods: vxlan, weave or cni; cni_config: the text of its configuration
    list; weave_password: what Weave's routers know each other by.
    """

    certificates: Mapping[str, str]
    ca: str
    servers: tuple[str, ...]
    service_range: str
    pod_range: str
    cluster_domain: str = "cluster.local"
    network: str = "vxlan"
    cni_config: str = ""
    weave_password: str = ""


class TokenWish(Model):
    """What a new token should be; it ends ttl_seconds after it is made.

    node: the only node that it is for, also in the place of one that has the name now.
    """

    ttl_seconds: Annotated[int, msgspec.Meta(ge=60, le=31_536_000)] = 86_400
    once: bool = shown(True)
    node: str = ""


class Token(Model):
    """secret is only in the answer that makes the token: the server keeps its hash."""

    id: str
    expires_at: datetime
    once: bool = shown(True)
    node: str = ""
    secret: str = ""


class TokenList(Model):
    items: tuple[Token, ...] = ()
