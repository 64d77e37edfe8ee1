"""``python -m napari_irvisfuse`` where the script is not on the path."""

from napari_irvisfuse.cli import main

if __name__ == "__main__":
    main()
