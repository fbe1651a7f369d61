"""A playbook that Ansible could not read is refused when the release is built, with its line."""

from pathlib import Path

import pytest

from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.releases.playbooks import LIMIT, check_playbook, directory, shipped


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_playbook_is_one(name: str) -> None:
    check_playbook(directory() / name, name)


@pytest.mark.parametrize(
    "text",
    [
        "- hosts: all\n  tasks:\n    - ansible.builtin.command: 'true'\n",
        "- import_playbook: other.yml\n",
        "- hosts: all\n  vars:\n    secret: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n    given: !unsafe '{{ x }}'\n",
    ],
)
def test_what_ansible_reads_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yml").write_text(text)
    check_playbook(tmp_path / "mine.yml", "mine.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello world\n", "mine.yml:1: not a playbook"),
        ("", "mine.yml:1: not a playbook"),
        ("[]\n", "mine.yml:1: not a playbook"),
        ("- hosts: all\n  tasks: [\n", "mine.yml:3: not YAML"),
        ("- hosts: all\n- name: tasks alone\n  command: x\n", "mine.yml:2: not a play"),
        ("- just text\n", "mine.yml:1: not a play"),
        ("\tx: 1\n", "mine.yml:1: not YAML"),
        ("#" * (LIMIT + 1), "mine.yml: a playbook of more than"),
    ],
)
def test_what_is_no_playbook_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(InvalidInput) as refused:
        check_playbook(tmp_path / "mine.yml", "mine.yml")
    assert refused.value.message.startswith(said)


def test_a_binary_file_is_no_playbook(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(InvalidInput, match="it is no text"):
        check_playbook(tmp_path / "mine.yml", "mine.yml")
