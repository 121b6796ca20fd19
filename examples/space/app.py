from omf.app.server import launch

launch(host="0.0.0.0")
