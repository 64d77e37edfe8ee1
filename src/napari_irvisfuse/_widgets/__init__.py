"""The dock widgets: the only place that knows napari, magicgui and Qt."""
