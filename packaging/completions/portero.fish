# fish completion of portero: asks the portero that is installed.
PORTERO_COMPLETE=fish portero 2>/dev/null | source
