"""Data cards that several tests use."""

PETS = {
    "name": "pets",
    "title": "Pets",
    "source": {
        "kind": "classification",
        "images": {"title": "Pets", "names": ["pets"], "test_fraction": 0.25},
    },
    "tasks": [{"name": "kind", "outputs": 2, "classes": ["cat", "dog"]}],
    "shape": [3, 32, 32],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "val_fraction": 0.25,
    "licence": "none",
    "how_to_get": "draw them",
}
"""A card of images in the class folders `pets/cat` and `pets/dog`."""
