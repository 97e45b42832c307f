"""Type of a column whose texts are encrypted by the key of the subject whom the row is about."""

from typing import Any, cast

from django.db.models import Model, TextField
from django.db.models.query_utils import DeferredAttribute

from featurestore.subjectkeys.errors import KeyStoreUnavailable, SubjectKeyError
from featurestore.subjectkeys.subject_keys import decrypt_text, encrypt_text


class Encrypted(str):
    """Text as it is stored. It opens when the attribute of its row is read."""

    __slots__ = ()


class DecryptedAttribute(DeferredAttribute):
    """Attribute of an encrypted column: the text. Reading it raises Unreadable, KeyStoreUnavailable."""

    def __get__(self, instance: Model | None, cls: Any = None) -> Any:
        if instance is None:
            return self
        found = super().__get__(instance, cls)
        field = cast(EncryptedTextField, self.field)
        return field.decrypted(instance, found) if isinstance(found, Encrypted) else found

    def __set__(self, instance: Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(TextField):
    """Column of encrypted texts. ``subject``: where the row has its subject, with dots through relations.

    A row reads and sets the text itself; whoever selects the column alone gets what is stored. An empty text stays
    empty.
    """

    descriptor_class = DecryptedAttribute

    def __init__(self, *args: Any, subject: str = "subject", **kwargs: Any) -> None:
        self.subject = subject
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"subject": self.subject}

    def pre_save(self, model_instance: Model, add: bool) -> Encrypted:
        """What is stored: unchanged, if the text was not read or set."""
        held = model_instance.__dict__[self.attname]
        if isinstance(held, Encrypted):
            return held
        return Encrypted(encrypt_text(self._subject_of(model_instance), held, self.place))

    def get_prep_value(self, value: Any) -> Any:
        if value and not isinstance(value, Encrypted):
            raise TypeError(f"{self.place} is encrypted: save its row, instead of an update or a filter by a text.")
        return None if value is None else str(value)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Encrypted | None:
        return None if value is None else Encrypted(value)

    def decrypted(self, instance: Model, encrypted: Encrypted) -> str:
        return decrypt_text(self._subject_of(instance), encrypted, self.place)

    @property
    def place(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def _subject_of(self, instance: Model) -> str:
        found: Any = instance
        for name in self.subject.split("."):
            found = getattr(found, name)
        return cast(str, found)


def opened(row: Model) -> dict[str, str]:
    """The texts of a row's encrypted columns by attribute. Set them again after its subject has changed: they are
    encrypted by the other subject's key when it is saved.
    """
    columns = [field.attname for field in row._meta.fields if isinstance(field, EncryptedTextField)]
    return {name: getattr(row, name) for name in columns}


def shown_text(row: Model, name: str) -> str:
    """The text of an encrypted column, to be shown; where it can't be read, why."""
    try:
        return str(getattr(row, name))
    except SubjectKeyError as error:
        return f"({error})"
    except KeyStoreUnavailable as error:
        return f"(The key store does not answer: {error}.)"
