"""The dialogs: what they ask, what they hide, and what each answer means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QLabel, QLineEdit, QListWidget, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField, backends
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.secrets import SecretStore
from kegbrowser.services.connections import Connections
from kegbrowser.transfer.events import Counted
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion, DeleteAnswer, DeleteQuestion
from kegbrowser.ui.conflict_dialog import ConflictDialog
from kegbrowser.ui.connection_dialog import HIDDEN_KINDS, ConnectionDialog
from kegbrowser.ui.option_form import OptionForm
from kegbrowser.ui.prompts import DeleteDialog
from tests.doubles.dict_keyring import DictKeyring
from tests.doubles.services import Services


@pytest.fixture
def parent(qtbot: QtBot) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    return made


# -- forms ---------------------------------------------------------------------------------------------------------------


def form_of(qtbot: QtBot, *fields: OptionField) -> OptionForm:
    local = backends()["local"]
    info = BackendInfo("x", "X", "", "", fields, local.open, local.suggest_name, local.locate, local.match,
                       local.from_location)  # fmt: skip
    form = OptionForm(info)
    qtbot.addWidget(form)
    return form


def line(top: QWidget, key: str) -> QLineEdit:
    found = top.findChild(QLineEdit, f"option_{key}")
    assert found is not None
    return found


FIELDS = (
    OptionField("auth", "Sign in with", FieldKind.CHOICE, default="key", choices=(("key", "Key"), ("none", "Nothing"))),
    OptionField("user", "User", required=True, shown_if=("auth", ("key",))),
    OptionField("secret", "Secret", FieldKind.SECRET, shown_if=("auth", ("key",))),
    OptionField("port", "Port", FieldKind.INTEGER, default="22"),
    OptionField("deep", "Deep", FieldKind.BOOL, group="Advanced"),
)


def test_a_form_gives_what_was_entered_by_key(qtbot: QtBot) -> None:
    form = form_of(qtbot, *FIELDS)
    QTest.keyClicks(line(form, "user"), " me ")
    QTest.keyClicks(line(form, "secret"), " s p ")
    line(form, "port").clear()
    QTest.keyClicks(line(form, "port"), "2x2")
    box = form.findChild(QCheckBox, "option_deep")
    assert box is not None
    box.setChecked(True)

    assert form.options() == {"auth": "key", "user": "me", "secret": " s p ", "port": "22", "deep": "true"}


def test_what_does_not_apply_is_hidden_not_required_and_empty(qtbot: QtBot) -> None:
    form = form_of(qtbot, *FIELDS)
    form.show()
    missing = form.missing()
    assert missing is not None
    assert missing.key == "user"
    QTest.keyClicks(line(form, "secret"), "hunter2")
    combo = form.findChild(QComboBox, "option_auth")
    assert combo is not None
    combo.setCurrentIndex(1)

    assert not line(form, "secret").isVisibleTo(form)
    assert not line(form, "user").isVisibleTo(form)
    assert form.missing() is None
    assert form.options()["secret"] == ""
    combo.setCurrentIndex(0)
    assert line(form, "secret").isVisibleTo(form)
    assert form.options()["secret"] == "hunter2"


def test_a_secret_is_hidden_until_it_is_asked_for(qtbot: QtBot) -> None:
    form = form_of(qtbot, *FIELDS)
    secret = line(form, "secret")
    assert secret.echoMode() == QLineEdit.EchoMode.Password
    (reveal,) = secret.actions()
    reveal.setChecked(True)
    assert secret.echoMode() == QLineEdit.EchoMode.Normal
    reveal.setChecked(False)

    assert secret.echoMode() == QLineEdit.EchoMode.Password
    assert line(form, "user").echoMode() == QLineEdit.EchoMode.Normal


def test_options_are_filled_in_and_what_is_missing_takes_its_default(qtbot: QtBot) -> None:
    form = form_of(qtbot, *FIELDS)
    form.set_options({"user": "me", "deep": "true"})

    assert form.options() == {"auth": "key", "user": "me", "secret": "", "port": "22", "deep": "true"}


@pytest.mark.parametrize("kind", sorted(set(backends()) - HIDDEN_KINDS))
def test_every_field_of_a_backend_is_in_its_form_and_only_secrets_are_hidden(qtbot: QtBot, kind: str) -> None:
    info = backends()[kind]
    form = OptionForm(info)
    qtbot.addWidget(form)
    form.set_options({field.key: "1" for field in info.fields if field.kind is not FieldKind.CHOICE})

    assert set(form.options()) == {field.key for field in info.fields}
    hidden = {
        field.objectName() for field in form.findChildren(QLineEdit) if field.echoMode() == QLineEdit.EchoMode.Password
    }
    assert hidden == {f"option_{key}" for key in info.secret_keys}


# -- connections -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def services(qtbot: QtBot, tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path) as made:
        yield made


@pytest.fixture
def keyring() -> DictKeyring:
    return DictKeyring()


@pytest.fixture
def connections(services: Services, keyring: DictKeyring, tmp_path: Path) -> Iterator[Connections]:
    made = Connections(
        ConnectionStore(tmp_path / "connections.json"), SecretStore(find_keyring=lambda: keyring), services.pool
    )
    made.load()
    yield made
    made.shut_down()


def dialog_of(
    connections: Connections, services: Services, parent: QWidget, kind: str, connection: Connection | None = None
) -> ConnectionDialog:
    dialog = ConnectionDialog(connections, services.operations, parent, connection, kind)
    dialog.open()
    return dialog


def said(dialog: QDialog) -> str:
    label = dialog.findChild(QLabel, "test_result")
    assert label is not None
    return label.text()


def press(dialog: QDialog, name: str) -> None:
    button = dialog.findChild(QPushButton, name)
    assert button is not None
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def name_of(dialog: QDialog) -> QLineEdit:
    found = dialog.findChild(QLineEdit, "connection_name")
    assert found is not None
    return found


def test_a_required_field_that_is_empty_is_named_and_nothing_is_saved(
    connections: Connections, services: Services, parent: QWidget
) -> None:
    dialog = dialog_of(connections, services, parent, "local")
    for button in ("save_connection", "test_connection"):
        press(dialog, button)
        assert said(dialog) == "Fill in “Folder”."
    dialog.reject()

    assert connections.all() == ()


def test_a_new_connection_is_named_by_its_options_until_the_user_names_it(
    connections: Connections, services: Services, parent: QWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    dialog = dialog_of(connections, services, parent, "local")
    line(dialog.form, "root").setText(str(tmp_path / "photos"))
    assert name_of(dialog).text() == "photos"
    name_of(dialog).clear()
    QTest.keyClicks(name_of(dialog), "Mine")
    line(dialog.form, "root").setText(str(tmp_path))
    assert name_of(dialog).text() == "Mine"
    with qtbot.waitSignal(dialog.accepted, timeout=5_000):
        press(dialog, "save_connection")

    (saved,) = connections.all()
    assert (saved.name, saved.kind, saved.options["root"]) == ("Mine", "local", str(tmp_path))


def test_the_test_says_what_it_found_and_what_failed(
    connections: Connections, services: Services, parent: QWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    dialog = dialog_of(connections, services, parent, "local")
    line(dialog.form, "root").setText(str(tmp_path / "missing"))
    with qtbot.waitSignal(services.operations.operation_failed, timeout=20_000):
        press(dialog, "test_connection")
        assert said(dialog) == "Connecting…"
    assert "missing" in said(dialog)
    line(dialog.form, "root").setText(str(tmp_path))
    with qtbot.waitSignal(services.operations.operation_finished, timeout=20_000):
        press(dialog, "test_connection")
    assert said(dialog).endswith(".")
    assert connections.all() == ()
    dialog.reject()


def test_editing_reads_the_secret_and_saves_the_change(
    connections: Connections, services: Services, parent: QWidget, keyring: DictKeyring, qtbot: QtBot
) -> None:
    options = {"host": "example.org", "username": "me", "auth": "password", "password": "hunter2"}
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.save(Connection.new("sftp", "Server", options), options)
    with qtbot.waitSignal(connections.options_ready, timeout=5_000):
        dialog = dialog_of(connections, services, parent, "sftp", connections.all()[0])
        assert not line(dialog.form, "password").isEnabled(), "until it has been read"
    password = line(dialog.form, "password")
    kinds = dialog.findChild(QListWidget, "connection_kinds")
    assert kinds is not None
    assert not kinds.isEnabled()
    assert (password.text(), password.echoMode()) == ("hunter2", QLineEdit.EchoMode.Password)
    password.setText("new secret")
    with qtbot.waitSignal(dialog.accepted, timeout=5_000):
        press(dialog, "save_connection")

    assert "new secret" in keyring.items.values()
    assert connections.all()[0].name == "Server"


@pytest.mark.parametrize("kind", [UnknownHostKey, HostKeyChanged])
def test_a_host_key_that_is_not_trusted_is_asked_about(
    connections: Connections,
    services: Services,
    parent: QWidget,
    qtbot: QtBot,
    tmp_path: Path,
    kind: type[UnknownHostKey],
) -> None:
    dialog = dialog_of(connections, services, parent, "local")
    line(dialog.form, "root").setText(str(tmp_path))
    services.gate.clear()
    error = kind("Unknown.", host="h", key_type="ssh-ed25519", key_base64="AAAA", fingerprint="SHA256:x")
    press(dialog, "test_connection")
    assert dialog._test is not None
    running = dialog._test
    with qtbot.waitSignal(dialog.host_key_asked, timeout=1_000) as asked:
        dialog._on_operation_failed(running, error)
    assert asked.args == [error]
    services.gate.set()
    dialog.trust_host_key("h ssh-ed25519 AAAA")

    assert dialog._spec().options["host_keys"] == "h ssh-ed25519 AAAA"
    dialog.reject()


# -- questions -------------------------------------------------------------------------------------------------------------

CONFLICT = ConflictQuestion(
    "a\nb.txt",
    "s3://bucket/a",
    5 * 2**30,
    None,
    datetime(2024, 5, 1, tzinfo=UTC),
    datetime(2024, 4, 1, tzinfo=UTC),
    "a (2).txt",
)


@pytest.mark.parametrize("choice", list(ConflictChoice))
@pytest.mark.parametrize("for_all", [False, True])
def test_each_answer_to_a_clash_is_given(parent: QWidget, choice: ConflictChoice, for_all: bool) -> None:
    dialog = ConflictDialog(CONFLICT, parent)
    (box,) = dialog.findChildren(QCheckBox)
    box.setChecked(for_all)
    button = dialog.findChild(QPushButton, f"conflict_{choice.value}")
    assert button is not None
    button.click()

    assert dialog.answer == ConflictAnswer(choice, for_all=for_all)


def test_a_clash_shows_both_files_and_skips_by_default(parent: QWidget) -> None:
    dialog = ConflictDialog(CONFLICT, parent)
    text = " ".join(label.text() for label in dialog.findChildren(QLabel))
    defaults = [button.objectName() for button in dialog.findChildren(QPushButton) if button.isDefault()]

    assert "a\\x0ab.txt" in text
    assert "5.0 GiB" in text
    assert text.index("(newer)") < text.index("There now:")
    assert defaults == ["conflict_skip"]
    dialog.reject()
    assert dialog.answer is None


def test_names_in_a_question_are_never_markup(parent: QWidget) -> None:
    hostile = "<img src='file:///etc/passwd'>"
    dialog = ConflictDialog(ConflictQuestion(hostile, hostile, 1, 1, None, None, hostile, more_to_come=False), parent)
    for label in dialog.findChildren(QLabel):
        if hostile in label.text():
            assert label.textFormat() == Qt.TextFormat.PlainText

    assert not any("<img" in button.toolTip() for button in dialog.findChildren(QPushButton))
    assert not dialog.findChildren(QCheckBox)[0].isVisibleTo(dialog)


def test_a_deletion_says_how_much_goes_and_keeps_by_default(parent: QWidget) -> None:
    question = DeleteQuestion(("a\u202eb", "c"), 12, Counted(12_480, 3, 5 * 2**30), can_be_undone=False)
    dialog = DeleteDialog(question, parent)

    assert dialog.text() == "Delete these 12 items?"
    assert "12,480 files, 3 folders, 5.0 GiB" in dialog.informativeText()
    assert "“a\\u202eb”, “c”…" in dialog.informativeText()
    assert "cannot be undone" in dialog.informativeText()
    assert dialog.textFormat() == Qt.TextFormat.PlainText
    assert dialog.defaultButton() is dialog.button(dialog.StandardButton.Cancel)
    assert dialog.answer is None


@pytest.mark.parametrize(
    ("undo", "text"), [(True, "this can be undone"), (False, "cannot be undone"), (None, "depends on the storage")]
)
def test_a_deletion_says_whether_it_can_be_undone(parent: QWidget, undo: bool | None, text: str) -> None:
    dialog = DeleteDialog(DeleteQuestion(("a",), 1, Counted(1, 0, 0), can_be_undone=undo), parent)

    assert dialog.text() == "Delete “a”?"
    assert text in dialog.informativeText()


def test_only_the_button_deletes(parent: QWidget, qtbot: QtBot) -> None:
    question = DeleteQuestion(("a",), 1, Counted(1, 0, 1), can_be_undone=False)
    confirmed, dismissed = DeleteDialog(question, parent), DeleteDialog(question, parent)
    for dialog, name in ((confirmed, "confirm_delete"), (dismissed, "")):
        dialog.open()
        button = dialog.findChild(QPushButton, name) if name else dialog.button(dialog.StandardButton.Cancel)
        assert isinstance(button, QPushButton)
        with qtbot.waitSignal(dialog.finished):
            button.click()

    assert confirmed.answer == DeleteAnswer(confirmed=True)
    assert dismissed.answer is None
