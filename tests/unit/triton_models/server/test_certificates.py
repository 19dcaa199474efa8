"""The files of a server with TLS are looked at before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import CLIENT, SERVER, Authority
from triton_models.server.certificates import ServerTls, own_credentials, tls_cautions
from triton_models.server.credentials import Credentials
from triton_models.server.errors import CredentialsError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def refusal(tls: ServerTls) -> str:
    with pytest.raises(CredentialsError) as refused:
        own_credentials(tls)
    return str(refused.value)


def test_whoever_starts_a_server_trusts_its_certificate_for_a_name_that_is_in_it(authority: Authority) -> None:
    server = authority.pair("server", "triton.example", "127.0.0.1", usages=(SERVER,))
    assert own_credentials(ServerTls(server.cert, server.key)) == Credentials(
        ca=server.cert, server_name="triton.example"
    )


def test_a_name_with_a_star_stands_for_one_without(authority: Authority) -> None:
    server = authority.pair("server", "*.example")
    assert own_credentials(ServerTls(server.cert, server.key)).server_name == "any.example"


def test_with_mutual_tls_it_shows_the_servers_own_certificate_or_the_one_that_is_given(authority: Authority) -> None:
    both, client = authority.pair("both", "triton.example"), authority.pair("client", usages=(CLIENT,))
    own = own_credentials(ServerTls(both.cert, both.key, authority.ca))
    assert (own.cert, own.key) == (both.cert, both.key)
    own = own_credentials(ServerTls(both.cert, both.key, authority.ca, client.cert, client.key))
    assert (own.cert, own.key) == (client.cert, client.key)


def test_a_certificate_that_is_for_servers_only_cannot_be_shown_by_a_client(authority: Authority) -> None:
    server = authority.pair("server", "triton.example", usages=(SERVER,))
    said = refusal(ServerTls(server.cert, server.key, authority.ca))
    assert f"a server that trusts {authority.ca} would not let in whoever starts it" in said
    assert "certificate purpose" in said
    assert "--tls-client-cert and --tls-client-key" in said


def test_nor_one_of_another_authority(authority: Authority, tmp_path: Path) -> None:
    server = authority.pair("server", "triton.example")
    foreign = Authority(tmp_path, "foreign")
    assert "unable to get local issuer certificate" in refusal(ServerTls(server.cert, server.key, foreign.ca))


def test_an_expired_certificate_is_not_started_with(authority: Authority) -> None:
    server = authority.pair("server", "triton.example", days=-1)
    said = refusal(ServerTls(server.cert, server.key))
    assert said == f"no client can accept the certificate {server.cert}: certificate has expired"


def test_one_without_a_host_is_not_either(authority: Authority) -> None:
    server = authority.pair("server")
    assert "names no host" in refusal(ServerTls(server.cert, server.key))


def test_a_key_of_another_certificate_is_named(authority: Authority) -> None:
    server, other = authority.pair("server", "triton.example"), authority.pair("other", "triton.example")
    said = refusal(ServerTls(server.cert, other.key))
    assert said == f"{other.key} is not the key of the certificate {server.cert}; give the pair"


def test_a_file_that_is_not_there_or_holds_something_else_is_named(authority: Authority, tmp_path: Path) -> None:
    server = authority.pair("server", "triton.example")
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert f"{tmp_path / 'nowhere'} cannot be read: No such file" in refusal(
        ServerTls(server.cert, tmp_path / "nowhere")
    )
    assert f"{text} holds no certificates in PEM" in refusal(ServerTls(text, server.key))
    assert "are no certificate and key in PEM" in refusal(ServerTls(server.cert, text))
    assert f"{text} holds no certificates in PEM" in refusal(ServerTls(server.cert, server.key, text))


def test_what_belongs_together_is_given_together(authority: Authority) -> None:
    server = authority.pair("server", "triton.example")
    with pytest.raises(CredentialsError, match="belong together"):
        ServerTls(server.cert, server.key, authority.ca, client_cert=server.cert)
    with pytest.raises(CredentialsError, match="asks for no certificate"):
        ServerTls(server.cert, server.key, None, server.cert, server.key)
    with pytest.raises(CredentialsError, match="a certificate without its key"):
        Credentials(ca=authority.ca, cert=server.cert)
    with pytest.raises(CredentialsError, match="is of use only with TLS, and no CA is given"):
        Credentials(server_name="triton.example")


def test_a_key_that_others_may_read_and_a_certificate_that_expires_soon_are_worth_a_word(authority: Authority) -> None:
    server = authority.pair("server", "triton.example", days=20)
    tls = ServerTls(server.cert, server.key)
    assert tls_cautions(tls) == []
    server.key.chmod(0o640)
    (said,) = tls_cautions(tls)
    assert said.startswith(f"other users of this machine may read {server.key}")
    soon = authority.pair("soon", "triton.example", days=3)
    (said,) = tls_cautions(ServerTls(soon.cert, soon.key))
    assert said.startswith(f"the certificate {soon.cert} expires in 3.0 days")
