"""The helper process: runs the engine's jobs beside the window, so that no listing or transfer ever costs it a frame. No Qt."""
