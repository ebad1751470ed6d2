"""Settings of the augmentation of training images."""

from __future__ import annotations

from pydantic import Field, model_validator

from mtsearch.config.base import Model


class RandAugment(Model):
    """Random operations on colours and geometry (Cubuk et al. 2020), of which each image gets
    `ops` with the same magnitude."""

    ops: int = Field(2, ge=1, le=8, description="operations an image, one after the other")
    magnitude: int = Field(9, ge=0, le=30, description="of all operations")
    geometric: bool = Field(
        True, description="also shear, shift and rotate; false where labels belong to pixels"
    )


class Augment(Model):
    """Augmentation of training images, in batches on the device. Zero switches a part off."""

    rotation: float = Field(
        0.0, ge=0, le=180, description="degrees to either side, nearest neighbour, black fill"
    )
    crop: int = Field(0, ge=0, description="pixels of zero padding before a random crop")
    flip: bool = False
    quarter_turns: bool = Field(
        False,
        description="by a random multiple of 90 degrees, for square images without an upright",
    )
    zoom: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "crop to a random side of at least 1 - zoom, at a random place, and enlarge again"
        ),
    )
    light: float = Field(
        0.0, ge=0, lt=1, description="brightness and contrast, each by up to this fraction"
    )
    rand_augment: RandAugment | None = Field(
        None, description="random operations on images of one or three channels"
    )
    views: int | None = Field(
        None,
        ge=1,
        le=64,
        description=(
            "different augmentations of an image, of which each pass takes one at random, so that"
            " the features of frozen trunks can be computed once; null: new ones in every pass"
        ),
    )

    @property
    def by_example(self) -> bool:
        """Whether random numbers belong to an example and a pass, not to a batch."""
        return self.rand_augment is not None or self.views is not None

    @model_validator(mode="after")
    def _something_to_view(self) -> Augment:
        if self.views is not None and self.model_dump(exclude={"views"}) == _NOTHING:
            raise ValueError(
                "with `views` should have another setting that changes images, such as `flip`."
                " Found none"
            )
        return self


_NOTHING = Augment().model_dump(exclude={"views"})
