"""What describe shows of ConfigMaps and Secrets: texts as they are, and of secrets only sizes."""

from cubectl.output.describe import description
from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object, ObjectMeta
from tests.given import NOW

META = ObjectMeta(name="shop", namespace="default", creation_timestamp=NOW)


def described(one: Object) -> str:
    return description(one, codec.to_tree(one), (), (), NOW)


def test_of_a_secret_only_the_sizes_are_shown() -> None:
    said = described(Secret(metadata=META, data={"password": "aHVudGVyMg==", "user": "bWU="}))
    assert "password:  7 bytes\nuser:  2 bytes\n" in said
    assert "aHVudGVyMg" not in said
    assert "hunter2" not in said
    assert "Opaque" in said


def test_a_configmaps_keys_and_texts_are_shown_as_they_are() -> None:
    data = {"currency": "EUR", "config.toml": "a = 1\n\x1b[31mred"}
    said = described(ConfigMap(metadata=META, data=data, binary_data={"logo": "/wA="}))
    assert "\nData\n====\nconfig.toml:\n----\na = 1\n" in said
    assert "\ncurrency:\n----\nEUR\n" in said
    assert "BinaryData\n====\nlogo: 2 bytes\n" in said
    assert "\x1b" not in said
