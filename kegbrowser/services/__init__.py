"""Where QThreads and signals live: the window calls verbs here, and hears facts. QtCore only."""
