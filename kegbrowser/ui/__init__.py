"""The window: widgets, dialogs, actions as a table. The only package that draws."""
