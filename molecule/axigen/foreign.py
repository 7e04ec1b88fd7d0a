# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script that somebody made over years, in the web interface and by hand.

``python foreign.py PATH`` writes it. Here and not in a file of its own, because it has bytes that no text of today has.
"""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = b"""\
# Mail policy of the head office, made in WebAdmin and by hand since 2009. R\xfcckfragen an den Postmaster: } {
event onConnect {
\tcall (WA_Acceptance_basic_banner);
\tcall (WA_GeoIP);
}

event onEhlo
{
\tcall (WA_Acceptance_basic);
\tcall (WA_Routing_basic_delivery);
#\tcall (old_rule);
\tcall ( Night_Limit ) ;   # by hand
}

event onMailFrom {
}

event onRcptTo {
\tcall (Explain_closed_domain);\t# } not the end
}

event onDataReceived { }

event onRelay {
\tcall (WA_Routing_basic);
}

event onProcessing {
\tcall (WA_Processing_notifications);
}

method WA_Acceptance_basic_banner {
}

method WA_GeoIP {
\tset (allowedCountries_0, "");
\tset (bannedCountries_0, "");
}

method WA_Acceptance_basic {
\tset (maxDataSize, "20480");
\tset (allowStartTLS, "yes");
\tset (allow8bitMime, "yes");
\tset (localDelivery, "all");
}

method WA_Routing_basic_delivery {
\tset (remoteDelivery, "auth");
}

method WA_Routing_basic {
\tset (allowStartTLS, "yes");
\tset (allowedSSLVersions, "tls11 tls12 tls13 ");
}

# method disableAUTH_on_non_SSL {
#\tset (plainConnAuthTypes, "none");
# }

method Explain_closed_domain {
\tif (
\t\tanyOf (
\t\t\tmatches (mailFromDomain, "closed.example"),
\t\t\tipRange (remoteSmtpIP, "192.0.2.0/24")
\t\t\t)
\t\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "Ger\xe4t gesperrt } call (Nothing); # 100 % } {
+OK: this is a text, and no status
  set (allowStartTLS, 'no');
second line for %remoteSmtpIP%");
\t}
}

method Night_Limit{set(maxRcptCount,"50");}
method Night_Limit { set (maxRcptCount, "5"); }   # a second one of this name
method never_called {\t\t
\tcall (checkSPF);\r
\tset (  remoteSmtpPort  ,  "2525"  )  ;\r
}
method WA_Processing_notifications {
\tset (ndrSubject, "Zustellung fehlgeschlagen");
}
# the end
"""

if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(SCRIPT)
