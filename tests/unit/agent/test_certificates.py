"""Certificates as they are on disk: told as openssl tells them, and no crash whatever a file holds."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import certificates, der
from verdelta_agent.model import ABSENT, Section, canonical
from verdelta_agent.recorded_host import RecordedHost

RECORDED = json.loads((Path(__file__).parents[2] / "hosts/debian-12/software.certificates.json").read_text())
CHAIN = RECORDED["host"]["files"]["/etc/letsencrypt/archive/web/fullchain3.pem"]
DER = base64.b64decode("".join(CHAIN.split("-----")[2].split()))


def section(files: dict[str, Any], **more: Any) -> Section:
    return certificates.collect(RecordedHost({"files": files, **more}))


def test_a_renewed_certificate_is_one_changed_row() -> None:
    first, second = (block + "-----END CERTIFICATE-----\n" for block in CHAIN.split("-----END CERTIFICATE-----\n")[:2])
    before = section({"/etc/nginx/site.pem": first}).rows
    after = section({"/etc/nginx/site.pem": second}).rows
    assert set(before) == set(after) == {"/etc/nginx/site.pem"}
    assert before != after


def test_a_certificate_says_whose_it_is_until_when_and_for_which_names() -> None:
    found = der.parse(DER)
    assert found.subject == "C=DE, O=Example GmbH, CN=web-07.example.org"
    assert found.key == "RSA 2048"
    assert found.names == [
        "192.0.2.7",
        "2001:0db8:0000:0000:0000:0000:0000:0007",
        "web-07.example.org",
        "www.example.org",
    ]
    assert found.is_authority
    assert found.not_after > found.not_before > "2026"


@pytest.mark.parametrize(
    ("number", "content"),
    [("2.5.4.3", "550403"), ("1.2.840.113549.1.1.1", "2a864886f70d010101"), ("2.100.3", "813403")],
)
def test_object_identifiers_are_read_as_they_are_written(number: str, content: str) -> None:
    assert der.object_id(bytes.fromhex(content)) == number


def test_every_truncation_is_refused() -> None:
    for length in range(len(DER)):
        with pytest.raises(ValueError, match=r"."):
            der.parse(DER[:length])


def test_bit_flips_are_refused_or_read_and_never_a_crash() -> None:
    refused = 0
    for at in range(len(DER)):
        for bit in (0, 3, 7):
            data = bytearray(DER)
            data[at] ^= 1 << bit
            try:
                assert canonical(list(der.parse(bytes(data))))
            except ValueError:
                refused += 1
    assert 0 < refused < 3 * len(DER)


@given(st.binary(max_size=200))
def test_whatever_bytes_are_no_certificate(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        der.parse(data)


def test_private_keys_are_not_shown_and_a_host_without_certificates_is_absent() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n"
    found = section({"/etc/nginx/both.pem": key + CHAIN})
    assert b"MIIsecret" not in canonical(found.rows)
    assert len(found.rows) == 2
    assert section({"/etc/nginx/key.pem": key}).status == ABSENT


def test_links_of_a_trust_store_are_not_read_one_by_one() -> None:
    links = {f"/etc/ssl/certs/ca{number}.pem": f"/usr/share/ca-certificates/ca{number}.crt" for number in range(200)}
    found = section(
        {"/etc/ssl/certs/ca-certificates.crt": CHAIN, "/usr/share/ca-certificates/ca1.crt": CHAIN}, links=links
    )
    assert set(found.rows) == {"store /etc/ssl/certs/ca-certificates.crt"}


def test_links_that_lead_nowhere_or_in_circles_are_passed_over() -> None:
    links = {"/etc/nginx/gone.pem": "/nowhere", "/etc/nginx/loop.pem": "loop.pem", "/etc/nginx/up": ".."}
    assert set(section({"/etc/nginx/own.crt": CHAIN}, links=links).rows) == {
        "/etc/nginx/own.crt",
        "/etc/nginx/own.crt #2",
    }
