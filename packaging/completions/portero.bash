# bash completion of portero: asks the portero that is installed.
source <(PORTERO_COMPLETE=bash portero 2>/dev/null)
