"""Logins by way of an OpenID provider, on both databases: who is let in, and everything that lets nobody in."""

import base64
import hmac
import json
import logging
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import OctKey
from tests.integration.controller.test_people import everything_stored
from tests.support.concurrently import at_once
from tests.support.oidc import BACK, CLIENT, SECRET, Answer, Issuer, an_issuer, new_key, public
from tests.support.people import LOG, Clock, evidence, joined, names

from verdelta_controller.access import oidc_logins, oidc_provider
from verdelta_controller.access.oidc_logins import NotLinked, OidcLogins
from verdelta_controller.access.oidc_provider import Provider, Untrusted, provider_of
from verdelta_controller.access.people import People
from verdelta_controller.access.rules import Role
from verdelta_controller.access.tables import Person
from verdelta_controller.foundation import certificates
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
    VerdeltaError,
)
from verdelta_controller.foundation.ids import digest_of_secret
from verdelta_controller.foundation.settings import Settings, load_settings
from verdelta_controller.foundation.signing import Vault

VAULT = Vault(b"v" * 32)
SUBJECT = "00u1a2b3"
DESCRIPTION = "/.well-known/openid-configuration"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def people(database: Database) -> People:
    return People(database, LOG, VAULT)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(oidc_logins, "now", clock.now)
    monkeypatch.setattr(oidc_provider, "now", clock.now)
    return clock


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


def settings(issuer: Issuer, **more: str) -> Settings:
    return Settings(
        oidc_issuer=issuer.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        url=BACK.removesuffix("/oidc/callback"),
        **more,
    )


@pytest.fixture
def oidc(database: Database, issuer: Issuer, clock: Clock) -> OidcLogins:
    return OidcLogins(database, LOG, VAULT, provider_of(settings(issuer)))


@pytest.fixture
def alice(people: People, oidc: OidcLogins) -> Person:
    alice = people.accounts.create_person("alice", "Alice Adams", "root", roles=[Role.RELEASE_MANAGER])
    oidc.link("alice", SUBJECT, "root")
    return alice


@pytest.fixture
def provider(issuer: Issuer) -> Provider:
    made = provider_of(settings(issuer))
    assert made is not None
    return made


def subject(provider: Provider, issuer: Issuer, who: str = SUBJECT) -> str:
    """Return what the provider calls somebody who logs in there; no database is asked."""
    brought = issuer.log_in(provider.address("state", "nonce", "verifier"), who)
    return provider.subject(brought["code"], "verifier", digest_of_secret("nonce"))


def come_back(oidc: OidcLogins, issuer: Issuer, subject: str = SUBJECT):
    """Return a login that has begun, and what the page says to who came back."""
    begun = oidc.begin()
    return begun, oidc.come_back(**issuer.log_in(begun.url, subject))


def log_in(oidc: OidcLogins, issuer: Issuer) -> str:
    begun, back = come_back(oidc, issuer)
    return oidc.complete(begun.secret, back.code).secret


# -- let in


def test_who_is_linked_is_let_in_with_the_roles_that_she_has_here(oidc, issuer, people, alice, database):
    begun, back = come_back(oidc, issuer)
    assert back.name == "alice"
    made = oidc.complete(begun.secret, back.code.lower().replace("-", " "))
    assert made.name == "alice" and made.secret.startswith("vds_")
    actor = people.logins.actor_of_session(made.secret)
    assert (actor.name, actor.roles, actor.person_id) == ("alice", {Role.RELEASE_MANAGER}, alice.id)
    (said,) = evidence(database, "logged-in")
    assert (said["person_id"], said["issuer"]) == (alice.id, issuer.url)
    people.logins.log_out(made.secret)
    with pytest.raises(NotAuthenticated):
        people.logins.actor_of_session(made.secret)


def test_a_sign_off_still_takes_a_code_of_her_own_app(oidc, issuer, people, clock):
    bob = joined(people, clock, "bob", Role.TEST_MANAGER)
    oidc.link("bob", SUBJECT, "root")
    actor = people.logins.actor_of_session(log_in(oidc, issuer))
    with pytest.raises(NotAllowed, match="the code is not right"):
        people.confirm_second_step(actor, "000000 ")
    people.confirm_second_step(actor, bob.code())


def test_who_has_not_joined_is_let_in_and_is_told_why_she_cannot_sign(oidc, issuer, people, clock):
    people.accounts.create_person("bob", "Bob", "root", roles=[Role.TEST_MANAGER])
    oidc.link("bob", SUBJECT, "root")
    actor = people.logins.actor_of_session(log_in(oidc, issuer))
    with pytest.raises(NotAllowed, match="bob has no second step") as refused:
        people.confirm_second_step(actor, "123456")
    assert refused.value.mend == "Ask an administrator: verdelta person invite bob; then: verdelta person join"


def test_the_description_is_asked_for_once_and_the_keys_each_time(provider, issuer):
    subject(provider, issuer)
    subject(provider, issuer)
    assert issuer.asked == [DESCRIPTION, "/token", "/keys", "/token", "/keys"]


def test_a_key_that_is_rotated_in_is_taken_at_once_and_one_that_is_gone_no_more(provider, issuer):
    old = issuer.key
    issuer.key = new_key("second")
    issuer.published = [public(old), public(issuer.key)]
    assert subject(provider, issuer) == SUBJECT
    issuer.published = [public(issuer.key)]
    assert subject(provider, issuer) == SUBJECT
    issuer.key = old
    with pytest.raises(Untrusted):
        subject(provider, issuer)


def test_a_client_that_is_known_by_its_form_is_taken_too(provider, issuer, monkeypatch):
    issuer.description["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    exchange = issuer.exchange

    def by_form(form: dict[str, str], authorization: str) -> Answer:
        assert authorization == ""
        basic = f"{form['client_id']}:{form['client_secret']}".encode()
        return exchange(form, f"Basic {base64.b64encode(basic).decode()}")

    monkeypatch.setattr(issuer, "exchange", by_form)
    assert subject(provider, issuer) == SUBJECT


# -- linked


def test_a_link_is_made_once_and_is_evidence(oidc, people, alice, issuer, database):
    oidc.link("alice", SUBJECT, "root")  # again is safe
    people.accounts.create_person("bob", "Bob", "root")
    for name, subject, why in (
        ("bob", SUBJECT, "linked to alice"),
        ("alice", "other", "alice is linked to another subject"),
    ):
        with pytest.raises(Conflict, match=why):
            oidc.link(name, subject, "root")
    with pytest.raises(NotFound):
        oidc.link("eve", "other", "root")
    (said,) = evidence(database, "identity-linked")
    assert said == {"person_id": alice.id, "issuer": issuer.url, "subject": SUBJECT, "by": "root"}


@pytest.mark.parametrize("subject", ["", "x" * 256, "a\n", "a\0", "ü", "\ud800", "\x1b[2J"])
def test_what_is_no_subject_is_linked_to_nobody(oidc, alice, subject):
    with pytest.raises(InvalidInput):
        oidc.link("alice", subject, "root")


def test_of_two_that_are_linked_to_one_subject_at_once_one_is(oidc, people, clock):
    for number in range(3):
        both = [f"a{number}", f"b{number}"]
        for name in both:
            people.accounts.create_person(name, name, "root")
        results = at_once([lambda n=name, s=f"s{number}": oidc.link(n, s, "root") for name in both])
        assert names(results) == ["Conflict", "NoneType"], results


def test_who_is_unlinked_is_let_in_no_more_and_her_sessions_end(oidc, issuer, people, alice, database):
    session = log_in(oidc, issuer)
    begun, back = come_back(oidc, issuer)
    oidc.unlink("alice", "root")
    oidc.unlink("alice", "root")
    with pytest.raises(NotAuthenticated):
        people.logins.actor_of_session(session)
    with pytest.raises(NotAuthenticated):
        oidc.complete(begun.secret, back.code)
    with pytest.raises(NotLinked):
        come_back(oidc, issuer)
    assert len(evidence(database, "identity-unlinked")) == 1


def test_nobody_is_let_in_or_made_by_what_the_provider_says_of_names_and_addresses(oidc, issuer, people, alice):
    issuer.claims = {
        "preferred_username": "alice",
        "name": "Alice",
        "email_verified": True,
        "groups": ["administrator"],
    }
    with pytest.raises(NotLinked, match="the provider calls you other, and nobody here is linked to that"):
        come_back(oidc, issuer, "other")
    with pytest.raises(NotLinked):
        come_back(oidc, issuer, SUBJECT.upper())  # another subject: case counts
    assert [account.person.name for account in people.accounts.all()] == ["alice"]


def test_who_left_is_let_in_no_more_and_her_subject_can_be_anothers(oidc, issuer, people, alice, clock):
    begun, back = come_back(oidc, issuer)
    people.accounts.leave("alice", "root")
    with pytest.raises(NotAuthenticated):
        oidc.complete(begun.secret, back.code)
    with pytest.raises(NotLinked):
        come_back(oidc, issuer)
    people.accounts.create_person("alice2", "Alice Adams", "root")
    oidc.link("alice2", SUBJECT, "root")
    assert come_back(oidc, issuer)[1].name == "alice2"
    with pytest.raises(Conflict, match="alice left"):
        oidc.link("alice", "other", "root")


# -- used twice, too late, by another


def test_a_state_works_once(oidc, issuer, alice):
    begun = oidc.begin()
    brought = issuer.log_in(begun.url, SUBJECT)
    oidc.come_back(**brought)
    for again in (brought, issuer.log_in(begun.url, SUBJECT), {"state": "unknown", "code": "x"}):
        with pytest.raises(NotAllowed, match="this login is not known"):
            oidc.come_back(**again)


def test_of_two_that_come_back_with_one_state_at_once_one_is_looked_at(oidc, issuer, alice):
    begun = oidc.begin()
    both = [issuer.log_in(begun.url, SUBJECT) for _ in range(2)]
    results = at_once([lambda one=one: oidc.come_back(**one) for one in both])
    assert names(results) == ["CameBack", "NotAllowed"], results


def test_a_code_of_the_provider_works_in_its_own_login_alone_and_once(oidc, issuer, alice):
    stolen = issuer.log_in(oidc.begin().url, SUBJECT)["code"]
    state = issuer.log_in(oidc.begin().url, SUBJECT)["state"]
    with pytest.raises(Untrusted, match="refused: 400"):  # PKCE: it belongs to the first
        oidc.come_back(state, stolen)
    begun = oidc.begin()
    used = issuer.log_in(begun.url, SUBJECT)
    oidc.come_back(**used)
    with pytest.raises(Untrusted, match="refused: 400"):
        oidc.come_back(issuer.log_in(oidc.begin().url, SUBJECT)["state"], used["code"])


def test_a_login_lasts_ten_minutes(oidc, issuer, alice, clock):
    late, (begun, back) = oidc.begin(), come_back(oidc, issuer)
    clock.passes(timedelta(minutes=10))
    with pytest.raises(NotAllowed, match="ten minutes have passed"):
        oidc.come_back(**issuer.log_in(late.url, SUBJECT))
    with pytest.raises(NotAuthenticated, match="ten minutes have passed"):
        oidc.complete(begun.secret, back.code)


def test_a_session_is_given_once(oidc, issuer, alice):
    begun, back = come_back(oidc, issuer)
    results = at_once([lambda: oidc.complete(begun.secret, back.code)] * 3)
    assert names(results) == ["NewSession", "NotAuthenticated", "NotAuthenticated"], results


def test_whoever_sent_somebody_a_link_of_his_own_gets_nothing_without_the_code_that_she_sees(oidc, issuer, alice):
    his, back = come_back(oidc, issuer)
    hers = oidc.begin()
    for secret, code in ((his.secret, ""), (his.secret, "BCDF-GHJK"), (hers.secret, back.code), ("vdo_0", back.code)):
        with pytest.raises(NotAuthenticated):
            oidc.complete(secret, code)


def test_five_wrong_codes_end_a_login(oidc, issuer, alice):
    begun, back = come_back(oidc, issuer)
    results = at_once([lambda: oidc.complete(begun.secret, "BCDF-GHJK")] * 10)
    said = [str(one).split(":")[0].splitlines()[0] for one in results]
    assert said.count("the code is not the one that the page shows") == 5
    with pytest.raises(NotAuthenticated, match="tried too often"):
        oidc.complete(begun.secret, back.code)


def test_before_anybody_came_back_no_code_is_right(oidc, alice):
    begun = oidc.begin()
    for code in ("", "None", "BCDFGHJK", "\0", "\ud800"):
        with pytest.raises(NotAuthenticated, match="not the one that the page shows"):
            oidc.complete(begun.secret, code)


def test_who_was_not_let_in_by_the_provider_ends_the_login(oidc, issuer, alice):
    brought = issuer.log_in(oidc.begin().url, SUBJECT)
    with pytest.raises(NotAllowed, match="the provider let nobody in"):
        oidc.come_back(brought["state"], "")
    with pytest.raises(NotAllowed, match="not known"):
        oidc.come_back(**brought)


def test_so_many_logins_are_under_way_and_no_more(oidc, alice, monkeypatch, clock):
    monkeypatch.setattr(oidc_logins, "OPEN_MOST", 3)
    for _ in range(3):
        oidc.begin()
    with pytest.raises(Unavailable, match="too many logins"):
        oidc.begin()
    clock.passes(timedelta(minutes=10))
    assert oidc.begin()


# -- tokens that are not believed

AT = int(time.time())


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": [CLIENT, "another"]}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"exp": AT - 3600}, "expired_token"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"iat": AT + 3600}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": AT + 3600}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": f"{SUBJECT}\0"}, "subject"),
    ],
)
def test_a_token_for_another_time_or_place_lets_nobody_in(provider, issuer, claims, why):
    issuer.claims = claims
    with pytest.raises(Untrusted, match=f"is not believed: .*{why}"):
        subject(provider, issuer)


def test_a_token_for_several_that_names_us_as_who_asked_is_taken(provider, issuer):
    issuer.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert subject(provider, issuer) == SUBJECT


def _part(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(issuer: Issuer, payload: bytes) -> str:
    return f"{_part({'alg': 'none'})}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}."


def with_the_public_half(issuer: Issuer, payload: bytes) -> str:
    head = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}"
    mark = hmac.digest(issuer.key.as_pem(private=False), head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def with_a_shared_key_that_is_published(issuer: Issuer, payload: bytes) -> str:
    key = OctKey.generate_key(256, {"kid": "shared"})
    issuer.published.append(key.as_dict(private=True))
    return jws.serialize_compact({"alg": "HS256", "kid": "shared"}, payload, key, ["HS256"])


def by_another(issuer: Issuer, payload: bytes) -> str:
    return jws.serialize_compact({"alg": "RS256", "kid": "first"}, payload, new_key("first"), ["RS256"])


def by_a_key_in_the_token(issuer: Issuer, payload: bytes) -> str:
    key = new_key("mine")
    return jws.serialize_compact({"alg": "RS256", "jwk": public(key)}, payload, key, ["RS256"])


def changed(issuer: Issuer, payload: bytes) -> str:
    head, _, mark = issuer.signed(payload).split(".")
    return f"{head}.{_part({**json.loads(payload), 'sub': SUBJECT})}.{mark}"


def no_token(issuer: Issuer, payload: bytes) -> str:
    return "a.b.c"


def no_claims(issuer: Issuer, payload: bytes) -> str:
    return issuer.signed(b"[" * 5000)


def with_a_critical_header(issuer: Issuer, payload: bytes) -> str:
    head = {"alg": "RS256", "kid": "first", "crit": ["b64"], "b64": True}
    made = issuer.signed(payload).split(".")
    return ".".join([_part(head), *made[1:]])


FORGERIES = [
    unsigned,
    with_the_public_half,
    with_a_shared_key_that_is_published,
    by_another,
    by_a_key_in_the_token,
    changed,
    no_token,
    no_claims,
    with_a_critical_header,
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(provider, issuer, forgery):
    issuer.sign = lambda payload: forgery(issuer, payload)
    who = "other" if forgery is changed else SUBJECT
    with pytest.raises(Untrusted, match=r"ID token (is not believed|cannot be read)"):
        subject(provider, issuer, who)


# -- answers that are not taken

REDIRECT = Answer(302, b"", {"Location": "https://evil.example/"})


@pytest.mark.parametrize("path", [DESCRIPTION, "/token", "/keys"])
@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (Answer(200, b"{" + b" " * (256 << 10) + b"}"), TooLarge, "larger than 256 KiB"),
        (REDIRECT, Untrusted, "sends us elsewhere"),
        (Answer(307, b"", {"Location": "/other"}), Untrusted, "sends us elsewhere"),
        (Answer(503, b"secret inside"), Unavailable, "failed: 503"),
        (Answer(200, b"<html>"), Untrusted, "no JSON document"),
        (Answer(200, b"[" * 100_000), Untrusted, "no JSON document"),
        (Answer(200, b"[]"), Untrusted, "no JSON document"),
        (Answer(200, b"{}", {"Content-Length": "5"}), Unavailable, "cannot be reached"),
    ],
)
def test_an_answer_that_is_none_is_said_in_one_line(provider, issuer, path, answer, error, why):
    issuer.instead[path] = answer
    with pytest.raises(error, match=why) as refused:
        subject(provider, issuer)
    assert "secret inside" not in str(refused.value)


@pytest.mark.parametrize(
    "keys", [{}, {"keys": 7}, {"keys": []}, {"keys": [7]}, {"keys": [{}]}, {"keys": [{"kty": "RSA", "n": "x"}]}]
)
def test_keys_that_are_none_let_nobody_in(provider, issuer, keys):
    issuer.instead["/keys"] = Answer(200, json.dumps(keys).encode())
    with pytest.raises(Untrusted, match="ID token"):
        subject(provider, issuer)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"issuer": "https://evil.example"}, "another name"),
        ({"token_endpoint": "http://login.example.org/token"}, "token_endpoint is no https:// address"),
        ({"jwks_uri": 7}, "jwks_uri is no https:// address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint is no https:// address"),
    ],
)
def test_a_description_that_leads_elsewhere_is_not_believed(provider, issuer, said, why):
    issuer.description |= said
    with pytest.raises(Untrusted, match=why):
        subject(provider, issuer)


def test_a_provider_that_is_down_is_said_and_is_not_asked_again_at_once(provider, issuer, monkeypatch):
    issuer.instead[DESCRIPTION] = Answer(503, b"")
    with pytest.raises(Unavailable, match="failed: 503"):
        subject(provider, issuer)
    del issuer.instead[DESCRIPTION]
    with pytest.raises(Unavailable, match="a moment ago"):
        subject(provider, issuer)
    assert issuer.asked == [DESCRIPTION]
    monkeypatch.setattr(oidc_provider.time, "monotonic", lambda before=time.monotonic: before() + 10)
    assert subject(provider, issuer) == SUBJECT


def test_a_provider_that_drips_its_answer_is_not_waited_for(provider, issuer, monkeypatch):
    monkeypatch.setattr(oidc_provider, "PATIENCE", -1.0)
    with pytest.raises(Unavailable, match="took longer than"):
        subject(provider, issuer)


def test_a_provider_that_is_gone_is_unavailable():
    with an_issuer() as gone:
        provider = provider_of(settings(gone))
    with pytest.raises(Unavailable, match=r"the login provider at 127\.0\.0\.1 cannot be reached: ConnectError"):
        provider.address("s", "n", "v")


def test_the_certificate_of_the_provider_is_checked(tmp_path: Path):
    certificates.ensure_ca(tmp_path)
    tls = certificates.ensure_server(tmp_path, ["127.0.0.1"])
    with an_issuer(tls) as issuer:
        with pytest.raises(Unavailable, match="cannot be reached: ConnectError"):
            provider_of(settings(issuer)).address("s", "n", "v")
        address = provider_of(settings(issuer, oidc_ca=str(tmp_path / "ca.pem"))).address("s", "n", "v")
    assert address.startswith(f"{issuer.url}/authorize?response_type=code")


# -- set up


def test_the_settings_have_to_be_whole_and_the_extra_there(issuer, monkeypatch):
    whole = settings(issuer)
    for missing in ("oidc_client_id", "url"):
        with pytest.raises(InvalidInput, match=f"oidc_issuer is set, but {missing} is not"):
            provider_of(whole.model_copy(update={missing: ""}))
    with pytest.raises(InvalidInput, match="no CA certificates can be read there"):
        provider_of(whole.model_copy(update={"oidc_ca": "/nowhere"}))
    monkeypatch.setitem(sys.modules, "authlib.oidc.core", None)
    with pytest.raises(InvalidInput, match="need authlib, which is not installed") as refused:
        provider_of(whole)
    assert refused.value.mend == "pip install verdelta-controller[oidc]"
    assert provider_of(Settings()) is None


@pytest.mark.parametrize(
    "address",
    ["http://login.example.org", "login.example.org", "https://", "https://a:b@c", "https://a/?x", "ftp://127.0.0.1"],
)
def test_a_provider_that_could_be_overheard_is_refused(address, monkeypatch):
    monkeypatch.setenv("VERDELTA_OIDC_ISSUER", address)
    with pytest.raises(InvalidInput, match="setting oidc_issuer") as refused:
        load_settings()
    assert "VERDELTA_OIDC_ISSUER" in str(refused.value)


def test_a_secret_may_lie_in_a_file_of_its_own_below_the_environment(tmp_path, monkeypatch):
    (tmp_path / "verdelta_oidc_client_secret").write_text("from a file\n")
    monkeypatch.setenv("VERDELTA_SECRETS", str(tmp_path))
    loaded = load_settings()
    assert loaded.oidc_client_secret == "from a file" and "from a file" not in repr(loaded)
    monkeypatch.setenv("VERDELTA_OIDC_CLIENT_SECRET", "from the environment")
    assert load_settings().oidc_client_secret == "from the environment"
    monkeypatch.setenv("VERDELTA_SECRETS", str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match="there is no such directory"):
        load_settings()


def test_without_a_provider_nothing_of_it_is_there(database, people, clock):
    people.accounts.create_person("alice", "Alice", "root")
    oidc = OidcLogins(database, LOG, VAULT, provider_of(Settings()))
    for asked in (oidc.begin, lambda: oidc.come_back("x", "y"), lambda: oidc.link("alice", SUBJECT, "root")):
        with pytest.raises(NotFound, match="no login provider is set up here"):
            asked()
    oidc.unlink("alice", "root")


# -- secrets


def test_no_secret_is_stored_logged_said_in_an_error_or_in_the_evidence(oidc, issuer, alice, database, caplog, people):
    caplog.set_level(logging.DEBUG)
    begun = oidc.begin()
    brought = issuer.log_in(begun.url, SUBJECT)
    wanted = dict(issuer.codes[brought["code"]])
    back = oidc.come_back(**brought)
    stored = everything_stored(database)
    session = oidc.complete(begun.secret, back.code)
    said = [repr(begun), repr(back), repr(session), repr(oidc), repr(settings(issuer))]
    for answer in (Answer(400, brought["code"].encode()), Answer(200, b"{}")):
        issuer.instead["/token"] = answer
        again = issuer.log_in(oidc.begin().url, SUBJECT)
        with pytest.raises(VerdeltaError) as refused:
            oidc.come_back(**again)
        said.append(f"{refused.value!r} {refused.value}")
    written = " ".join((stored, everything_stored(database), json.dumps(evidence(database)), caplog.text, *said))
    hidden = (brought["code"], wanted["state"], wanted["nonce"], begun.secret, session.secret, SECRET, "at-secret")
    for secret in (*hidden, back.code, back.code.replace("-", "")):
        assert secret not in written, secret
