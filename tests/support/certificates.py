"""A certificate authority for one test, and certificates that it signs; nobody else ever trusts it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
BOTH = (SERVER, CLIENT)


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


class Authority:
    """A CA whose certificate is in the file `ca`."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / f"{name}.pem"
        self._folder, self._name, self._key = (
            folder,
            _name(f"made up CA {name}"),
            ec.generate_private_key(ec.SECP256R1()),
        )
        usage = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _certificate(self._name, self._name, self._key.public_key(), days=2)
        signed = certificate.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.ca.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def pair(
        self,
        name: str,
        *hosts: str,
        usages: tuple[x509.ObjectIdentifier, ...] = BOTH,
        days: float = 2.0,
    ) -> Pair:
        """A certificate for these hosts, which has expired where `days` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _certificate(_name(name), self._name, key.public_key(), days)
        built = built.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            built = built.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        made = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.cert.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.touch(0o600)
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
