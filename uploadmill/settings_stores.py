"""The settings of one store, by its role; and what all tables of settings are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from uploadmill.store_url import FORMS, check_endpoint, check_public, url_options

#: The stores, by what they are for.
ROLES = ("staging", "primary", "secondary", "quarantine")


class Table(BaseModel):
    """A table of settings; a name it does not know is a mistake."""

    # One field looks at those before it: so all that is wrong with a table is found at once, which
    # a look at the table as a whole would only come to when each field is right.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,
    )


class StoreSettings(Table):
    """One store by its role."""

    url: str = Field(
        description="file:///path, s3://bucket/prefix, gs://bucket/prefix, "
        "azure://container/prefix or memory:"
    )
    public_url: str | None = Field(
        default=None, description="where the world reads this store's objects (website, bucket)"
    )
    cdn_url: str | None = Field(
        default=None, description="where a CDN shows them; wins over public_url"
    )
    endpoint_url: str | None = Field(
        default=None, description="of a server that speaks S3's or Google's language"
    )
    region: str | None = Field(default=None, description="of an S3 bucket; unset: the chain's")
    access_key: SecretStr | None = Field(
        default=None, description="unset: the provider's own chain (environment, files, role)"
    )
    secret_key: SecretStr | None = Field(default=None, description="goes with S3's access_key")
    account_url: str | None = Field(default=None, description="of an Azure storage account")
    project_id: str | None = Field(default=None, description="of Google; unset: the chain's")
    credentials_path: str | None = Field(
        default=None, description="a file with Google's or Azure's credentials"
    )
    allowed_extensions: tuple[str, ...] | None = Field(
        default=None, description="what keys must end in, of primary and secondary; unset: any"
    )
    max_file_size: int | None = Field(default=None, gt=0, description="bytes of one object")
    timeout: float | None = Field(
        default=None, gt=0, description="seconds a network store may stay silent; unset: 4"
    )

    @field_validator("url")
    @classmethod
    def _names_a_place(cls, url: str) -> str:
        scheme, options = url_options(url)
        within = FORMS[scheme].within
        if within and not options[within]:
            raise ValueError(f"no {within}; write {scheme}://{within}/prefix")
        return url

    @field_validator("endpoint_url", "account_url", "public_url", "cdn_url")
    @classmethod
    def _is_an_address(cls, url: str | None, field: ValidationInfo) -> str | None:
        name = str(field.field_name)
        if url is not None:
            (check_public if name in ("public_url", "cdn_url") else check_endpoint)(name, url)
        return url

    @field_validator("secret_key")
    @classmethod
    def _goes_with_access_key(
        cls, secret: SecretStr | None, others: ValidationInfo
    ) -> SecretStr | None:
        on_s3 = str(others.data.get("url", "")).startswith("s3:")
        given = others.data.get("access_key", secret)
        if on_s3 and (given is None) != (secret is None):
            raise ValueError("access_key and secret_key go together; one of them is missing")
        return secret

    @field_validator("allowed_extensions")
    @classmethod
    def _leaves_ours(cls, allowed: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """An extension that uploadmill itself needs must not be refused."""
        if allowed is not None:
            raise ValueError("what lies there has no extension")
        return allowed


class OutputStoreSettings(StoreSettings):
    """A store of outputs."""

    @field_validator("allowed_extensions")
    @classmethod
    def _leaves_ours(cls, allowed: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The same."""
        if allowed is not None and "json" not in {each.lstrip(".").lower() for each in allowed}:
            raise ValueError("add json, for each job's result.json")
        return allowed
