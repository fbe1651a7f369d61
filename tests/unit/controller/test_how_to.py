"""The how-to pages and the README cannot lie: `verdelta` understands each command in them, with each of its options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from verdelta_controller.access.rules import Role
from verdelta_controller.cli.main import root

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs/how-to"
PAGES = [*sorted(HOW_TO.glob("*.md")), ROOT / "docs/reference/policy.md", ROOT / "README.md"]
ROLES = [role.value for role in Role if role is not Role.TECHNICIAN]  # hers are work orders, which there are not yet


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in the code blocks of a page, without the pipes and files around it."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^    .*\n?)+", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    blocks = [*fenced, *(re.sub(r"^    ", "", block, flags=re.M) for block in indented)]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    called = [found.group(1) for line in lines if (found := re.fullmatch(r"(?:\$ |[a-z]+ +)?(verdelta .*)", line))]
    return [shlex.split(line.split(" > ")[0].split(" | ")[0], comments=True)[1:] for line in called]


def mentions(text: str) -> list[list[str]]:
    """Return the words of each command that stands in a sentence."""
    return [words.split()[1:] for words in re.findall(r"`(verdelta [a-z][^`\n]*)`", text)]


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words call, and its own arguments."""
    command: click.Command = root
    while isinstance(command, click.Group) and words:
        _, found, words = command.resolve_command(click.Context(root), words)
        assert found is not None
        command = found
    return command, words


IN_BLOCKS = [(page.name, words) for page in PAGES for words in commands(page.read_text())]
IN_SENTENCES = [(page.name, words) for page in PAGES for words in mentions(page.read_text())]


@pytest.mark.parametrize(("page", "words"), IN_BLOCKS, ids=lambda value: " ".join(value) if value else "")
def test_each_command_of_a_page_is_understood_as_it_stands(page: str, words: list[str]):
    command, rest = resolved(words)
    assert not isinstance(command, click.Group), f"{page}: verdelta {' '.join(words)} is no whole command"
    command.make_context("how-to", rest).close()


@pytest.mark.parametrize(("page", "words"), IN_SENTENCES, ids=lambda value: " ".join(value) if value else "")
def test_each_command_that_a_sentence_names_is_there_with_its_options(page: str, words: list[str]):
    command, rest = resolved(words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= known, page


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_page_that_the_index_names_and_that_begins_with_its_inbox(role: str):
    page = (HOW_TO / f"{role}.md").read_text()
    assert f"]({role}.md)" in (HOW_TO / "README.md").read_text()
    assert "**Refused?**" in page
    assert len(page.splitlines()) <= 60
    assert commands(page)


def test_a_command_that_there_is_not_would_be_noticed():
    with pytest.raises(click.UsageError):
        resolved(["release", "deploy"])
    command, rest = resolved(["release", "sign", "labapp", "1.1", "acceptance", "--cod", "1"])
    with pytest.raises(click.UsageError):
        command.make_context("how-to", rest)


def test_every_block_is_found_however_it_is_written():
    fenced = "```\nverdelta a b > file\n```\n", "```console\n$ verdelta e | f\n```\n"
    text = "and\n\n    $ verdelta c \\\n        --d  # why\n\n".join(fenced)
    assert sorted(commands(text)) == [["a", "b"], ["c", "--d"], ["e"]]


def test_the_pages_have_commands_to_check():
    assert len(IN_BLOCKS) > 100
    assert len(IN_SENTENCES) > 10
