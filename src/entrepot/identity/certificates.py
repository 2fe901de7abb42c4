"""Client certificates as a proxy in front hands them over (RFC 9440, `Client-Cert`), checked once more here."""

import datetime
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from entrepot.errors import Invalid
from entrepot.identity.errors import CredentialsInvalid
from entrepot.identity.external import ClientCertificate, ExternalUser


class CertificateAuthority:
    """The authorities of one provider, and the part of a certificate that names the user."""

    def __init__(self, name: str, ca_file: Path, name_from: str) -> None:
        """Raises Invalid for a file that cannot be read."""
        self.name = name
        try:
            self._store = Store(x509.load_pem_x509_certificates(ca_file.read_bytes()))
        except (OSError, ValueError) as error:
            raise Invalid(f"the authorities of the provider {name} cannot be read: {error}") from error
        self._name_from = _NAMES[name_from]

    def verify(self, der: bytes, now_ms: int) -> ClientCertificate | None:
        """Who the certificate is for; None when none of these authorities made it.

        Raises CredentialsInvalid for one that names nobody.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            at = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC).replace(tzinfo=None)
            builder = PolicyBuilder().store(self._store).time(at)
            # Certificates of people often have no alternative name, which the web's rules would ask for.
            ends = ExtensionPolicy.permit_all().may_be_present(
                x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients
            )
            verifier = builder.extension_policies(
                ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ends
            ).build_client_verifier()
            verifier.verify(certificate, [])
        except (ValueError, VerificationError):
            return None
        name = self._name_from(certificate)
        if not name:
            raise CredentialsInvalid(
                f"the client certificate does not contain the name that the provider {self.name} uses (name_from)"
            )
        not_after_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
        return ClientCertificate(ExternalUser(subject=name, name=name, display_name=name), not_after_ms)


def _for_clients(policy: object, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("the certificate is not a client certificate")


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _alternative(kind: type[x509.RFC822Name | x509.DNSName | x509.UniformResourceIdentifier]) -> "_Name":
    def name(certificate: x509.Certificate) -> str:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ""
        values = found.value.get_values_for_type(kind)
        return str(values[0]) if len(values) == 1 else ""

    return name


_Name = Callable[[x509.Certificate], str]
_NAMES: dict[str, _Name] = {
    "common-name": _common_name,
    "email": _alternative(x509.RFC822Name),
    "dns": _alternative(x509.DNSName),
    "uri": _alternative(x509.UniformResourceIdentifier),
}
