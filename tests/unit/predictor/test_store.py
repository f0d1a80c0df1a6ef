from __future__ import annotations

import pytest
from predictor.errors import StoreError
from predictor.store import arctic_uri


def test_aws_uri_uses_tls_and_the_credential_chain() -> None:
    assert arctic_uri("prices", "eu-west-1", "arcticdb", None) == (
        "s3s://s3.eu-west-1.amazonaws.com:prices?aws_auth=true&region=eu-west-1&path_prefix=arcticdb"
    )


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("http://127.0.0.1:5000", "s3://127.0.0.1:prices?port=5000&"),
        ("https://s3.example", "s3s://s3.example:prices?port=443&"),
        ("http://s3.example/", "s3://s3.example:prices?port=80&"),
    ],
)
def test_other_s3_is_addressed_by_path_and_port(endpoint: str, start: str) -> None:
    uri = arctic_uri("prices", "us-east-1", "arcticdb", endpoint)

    assert uri.startswith(start)
    assert "use_virtual_addressing=false" in uri
    assert "aws_auth=true" in uri


def test_endpoint_without_scheme_is_an_error() -> None:
    with pytest.raises(StoreError, match="expected an http or https URL"):
        arctic_uri("prices", "us-east-1", "arcticdb", "127.0.0.1:5000")
