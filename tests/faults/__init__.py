"""What goes wrong between here and a server, on every protocol, through the whole engine: python -m tests.faults"""
