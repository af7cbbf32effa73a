"""Where frames come from: cameras, files, folders and simulated scenes, each in an own process."""
