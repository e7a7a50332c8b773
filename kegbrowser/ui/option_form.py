"""A form made from a backend's option fields: labels, inputs, sections, and what is shown for which choice."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QCoreApplication, Qt, Signal, Slot
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField
from kegbrowser.ui import icons


class OptionForm(QWidget):
    """The inputs of one kind of connection. GUI thread only."""

    changed = Signal()

    def __init__(self, info: BackendInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._info = info
        self._inputs = {field.key: _input_for(field, self) for field in info.fields}
        self._rows: dict[str, tuple[QFormLayout, QWidget]] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for group in dict.fromkeys(field.group for field in info.fields):
            layout.addWidget(self._section(group))
        layout.addStretch(1)
        self._show_what_applies()

    def options(self) -> dict[str, str]:
        """What is entered, as text by key; options that do not apply to the choices made are empty."""
        return {
            field.key: self._inputs[field.key].value() if self._applies(field) else "" for field in self._info.fields
        }

    def set_options(self, options: Mapping[str, str]) -> None:
        """Fill in; what is missing takes the field's default."""
        for field in self._info.fields:
            self._inputs[field.key].set_value(options.get(field.key, "") or field.default)
        self._show_what_applies()

    def set_secrets_pending(self, pending: bool) -> None:
        """Show that the saved secrets are still being read."""
        for field in self._info.fields:
            if field.kind is FieldKind.SECRET:
                self._inputs[field.key].setEnabled(not pending)

    def missing(self) -> OptionField | None:
        """The first required field that is empty."""
        return next(
            (
                field
                for field in self._info.fields
                if field.required and self._applies(field) and not self._inputs[field.key].value()
            ),
            None,
        )

    def focus_field(self, key: str) -> None:
        """Put the cursor into a field."""
        self._inputs[key].setFocus(Qt.FocusReason.OtherFocusReason)

    def input_of(self, key: str) -> _Input:
        return self._inputs[key]

    def _section(self, group: str) -> QWidget:
        section = QWidget()
        form = QFormLayout(section)
        form.setContentsMargins(0, 0, 0, 0)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(8)
        for field in self._info.fields:
            if field.group == group:
                self._add_row(form, field)
        return _Collapsible(_tr(group), section) if group else section

    def _add_row(self, form: QFormLayout, field: OptionField) -> None:
        widget = self._inputs[field.key]
        widget.changed.connect(self._on_input_changed)
        widget.setToolTip(_tr(field.help))
        if field.kind is FieldKind.BOOL:
            form.addRow("", widget)
        else:
            label = QLabel(f"{_tr(field.label)}{' *' if field.required else ''}")
            label.setBuddy(widget)
            label.setMinimumWidth(120)
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            form.addRow(label, widget)
        self._rows[field.key] = (form, widget)

    def _applies(self, field: OptionField) -> bool:
        return field.shown_if is None or self._inputs[field.shown_if[0]].value() in field.shown_if[1]

    def _show_what_applies(self) -> None:
        for field in self._info.fields:
            form, widget = self._rows[field.key]
            form.setRowVisible(widget, self._applies(field))

    @Slot()
    def _on_input_changed(self) -> None:
        self._show_what_applies()
        self.changed.emit()


class _Collapsible(QWidget):
    """A section with a heading that opens and closes it."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self._content = content
        self._head = QToolButton()
        self._head.setText(title)
        self._head.setObjectName(f"section_{title}")
        self._head.setAutoRaise(True)
        self._head.setCheckable(True)
        self._head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._head.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._head)
        layout.addWidget(content)
        self._on_toggled(False)

    @Slot(bool)
    def _on_toggled(self, shown: bool) -> None:
        self._content.setVisible(shown)
        self._head.setIcon(icons.icon("chevron-down" if shown else "chevron-right"))


class _Input(QWidget):
    """An input of any kind: its value is text."""

    changed = Signal()

    def value(self) -> str:
        raise NotImplementedError(type(self).__name__)

    def set_value(self, value: str) -> None:
        raise NotImplementedError(type(self).__name__)


class _LineInput(_Input):
    """A line of text; a secret is hidden and can be shown, a file or folder can be chosen."""

    def __init__(self, field: OptionField, parent: QWidget) -> None:
        super().__init__(parent)
        self._field = field
        self._line = QLineEdit()
        self._line.setObjectName(f"option_{field.key}")
        self._line.setAccessibleName(_tr(field.label))
        self._line.setPlaceholderText(field.placeholder or field.default)
        self._line.setToolTip(_tr(field.help))
        self._line.textChanged.connect(self.changed)
        self.setFocusProxy(self._line)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        if field.kind is FieldKind.INTEGER:
            self._line.setValidator(QIntValidator(0, 2_000_000_000, self._line))
        elif field.kind is FieldKind.SECRET:
            self._line.setEchoMode(QLineEdit.EchoMode.Password)
            self._reveal = self._line.addAction(icons.icon("eye"), QLineEdit.ActionPosition.TrailingPosition)
            self._reveal.setCheckable(True)
            self._reveal.setToolTip(self.tr("Show"))
            self._reveal.toggled.connect(self._on_reveal_toggled)
        elif field.kind in (FieldKind.FILE, FieldKind.FOLDER):
            button = QToolButton()
            button.setIcon(icons.icon("folder"))
            button.setToolTip(self.tr("Choose…"))
            button.setAccessibleName(self.tr("Choose %s") % _tr(field.label))
            button.clicked.connect(self._on_choose_clicked)
            layout.addWidget(button)

    def value(self) -> str:
        text = self._line.text()
        return text if self._field.kind is FieldKind.SECRET else text.strip()

    def set_value(self, value: str) -> None:
        self._line.setText(value)

    @Slot(bool)
    def _on_reveal_toggled(self, shown: bool) -> None:
        self._line.setEchoMode(QLineEdit.EchoMode.Normal if shown else QLineEdit.EchoMode.Password)
        self._reveal.setIcon(icons.icon("eye-off" if shown else "eye"))

    @Slot()
    def _on_choose_clicked(self) -> None:
        chooser = QFileDialog(self, _tr(self._field.label))
        is_file = self._field.kind is FieldKind.FILE
        chooser.setFileMode(QFileDialog.FileMode.ExistingFile if is_file else QFileDialog.FileMode.Directory)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(self._line.setText)
        chooser.open()


class _ChoiceInput(_Input):
    def __init__(self, field: OptionField, parent: QWidget) -> None:
        super().__init__(parent)
        self._combo = QComboBox()
        self._combo.setObjectName(f"option_{field.key}")
        self._combo.setAccessibleName(_tr(field.label))
        for value, label in field.choices:
            self._combo.addItem(_tr(label), value)
        self.setFocusProxy(self._combo)
        self._combo.currentIndexChanged.connect(self.changed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.set_value(field.default)

    def value(self) -> str:
        return str(self._combo.currentData() or "")

    def set_value(self, value: str) -> None:
        self._combo.setCurrentIndex(max(0, self._combo.findData(value)))


class _CheckInput(_Input):
    def __init__(self, field: OptionField, parent: QWidget) -> None:
        super().__init__(parent)
        self._box = QCheckBox(_tr(field.label))
        self._box.setObjectName(f"option_{field.key}")
        self._box.toggled.connect(self.changed)
        self.setFocusProxy(self._box)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.set_value(field.default)

    def value(self) -> str:
        return "true" if self._box.isChecked() else "false"

    def set_value(self, value: str) -> None:
        self._box.setChecked(value == "true")


def _input_for(field: OptionField, parent: QWidget) -> _Input:
    if field.kind is FieldKind.CHOICE:
        return _ChoiceInput(field, parent)
    if field.kind is FieldKind.BOOL:
        return _CheckInput(field, parent)
    made = _LineInput(field, parent)
    if field.kind is not FieldKind.INTEGER or field.default:
        made.set_value(field.default)
    return made


def _tr(text: str) -> str:
    return QCoreApplication.translate("OptionField", text) if text else ""
