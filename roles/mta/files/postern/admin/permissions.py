# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which permission a command needs: names as the administered server's HELP lists them, and one table.

What the table does not name needs the permission of the context that it is in, so that a new command is
closed until somebody opens it. Looking (SHOW, LIST, entering a context) needs nothing but the permission to log in.
Which permission the real server asks for is documented for few commands; the table is this server's reading of it.
"""

from __future__ import annotations

import typing as t

#: Needed to log in at all.
LOGIN = "manageCLI"
#: Needed for everything about administrators.
ACL = "manageAdminACL"

_SERVER = (
    "manageServerConfig manageServerFilters manageCluster manageProcessing manageLog manageDNR manageSMTPIn"
    " manageSMTPOut managePOP3 manageIMAP manageWebMail manageRPOP managePOP3Proxy manageIMAPProxy manageWebmailProxy"
    " manageCLI manageWebAdmin manageFTPBackup manageReporting accessDumpData manageAuthentication manageAdminACL"
).split()

#: Permissions on one domain, and the ones on any domain that contain them where the name is not built by the rule.
_ON_ANY_DOMAIN = {
    "manageDomainConfig": "manageConfigOnAnyDomain",
    "manageDomainFilters": "manageFiltersOnAnyDomain",
    "manageDomainAdminLimits": "manageAdminLimitsOnAnyDomain",
    "manageDomainServices": "manageServicesOnAnyDomain",
    "backupDomain": "backupAnyDomain",
    "restoreDomain": "restoreAnyDomain",
    "deactivateDomain": "deactivateAnyDomain",
    "manageMailListsMembers": "manageMailListsMemberOnAnyDomain",
    "manageSubdomains": "",
} | {
    name: f"{name}OnAnyDomain"
    for name in (
        "manageCatchAll manageGroupware manageLdapSync manageDomainAliases manageDomainStorage manageAccountServices"
        " manageAutomaticMigration manageFoldersQuotas managePasswordPolicy manageWebmailLimits manageFilteredEmail"
        " manageSendReceiveRestrictions manageRPOPRestrictions manageTemporaryAddresses manageAccountRecovery"
        " managePersonalOrganizer manageSharing manageOutlookConnector manageActiveSync manageIA manageAccounts"
        " createAccounts removeAccounts manageAccountsNaming changeAccountsPassword changeAccountsClass"
        " manageAccountsContactInformation manageAccountsWebmailOptions manageGroups createGroups removeGroups"
        " manageGroupsNaming manageGroupsMembers manageMaillists createMailLists removeMailLists"
        " manageMailListsNaming changeMailListsPassword manageMailListsSubscription manageMailListsPosting"
        " manageMailListsMessageHeaders manageMailListsTemplates manageMailListsWebmailOptions"
        " manageMailListsServices manageMailListsFoldersQuotas manageMailListsWebmailLimits"
        " manageMailListsSendReceiveRestrictions manageAccountClasses createAccountClasses removeAccountClasses"
        " renameAccountClasses manageFolderRecipients managePublicFolder createPublicFolder removePublicFolder"
        " renamePublicFolder managePublicFoldersQuotas"
    ).split()
}

#: All permissions on the server, and all on one domain, by their names in lower case.
ON_SERVER = {
    name.lower(): name for name in (*_SERVER, "activateAnyDomain", *(wide for wide in _ON_ANY_DOMAIN.values() if wide))
}
ON_DOMAIN = {name.lower(): name for name in _ON_ANY_DOMAIN}

#: What a permission on any domain is called on one domain.
_ONE_DOMAIN = {wide: name for name, wide in _ON_ANY_DOMAIN.items() if wide}

#: Verbs that only look or leave, and those that are the session's own business.
_LOOKING = ("HELP", "EXIT", "QUIT", "BACK", "SHOW", "LIST", "GET", "CONFIG", "ENTER", "QUERY")

#: Contexts in which looking is closed too: administrators, and who writes to whom.
_PRIVATE = (("aacl",), ("queue",))

_DOMAIN_CONFIG = "manageConfigOnAnyDomain"
_ACCOUNT_CHANGES = ("createAccountsOnAnyDomain", "changeAccountsPasswordOnAnyDomain", "manageAccountsOnAnyDomain")

#: Context (segments of its prompt, without hyphens, in lower case) and first words of a command → the permissions of
#: which one is needed. The longest context counts, then the most words; no words stand for all commands that change.
_TABLE: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {
    ((), ""): ("manageServerConfig",),
    ((), "SET MULTILINEEOF"): (),
    ((), "CHANGE PASSWORD"): (),
    ((), "ENTER AACL"): (ACL,),
    ((), "ENTER QUEUE"): ("manageProcessing",),
    ((), "CREATE DOMAIN"): ("activateAnyDomain",),
    ((), "ENABLE DOMAIN"): ("activateAnyDomain",),
    ((), "DISABLE DOMAIN"): ("deactivateAnyDomain",),
    ((), "DELETE DOMAIN"): ("deactivateAnyDomain",),
    ((), "EDIT DOMAIN"): ("manageDomainStorageOnAnyDomain",),
    ((), "UPDATE DOMAIN"): (),
    (("aacl",), ""): (ACL,),
    (("queue",), ""): ("manageProcessing",),
    (("jsonquery",), ""): (),
    (("tracer",), ""): ("accessDumpData",),
    (("server",), ""): ("manageServerConfig",),
    # A policy script may hold the password of a relay host: reading it is no looking around.
    (("server",), "SHOW SMTPFILTERS"): ("manageServerFilters",),
    (("server",), "UPDATE SMTPFILTERS"): ("manageServerFilters",),
    (("server", "smtpincoming"), ""): ("manageSMTPIn",),
    (("server", "smtpoutgoing"), ""): ("manageSMTPOut",),
    (("server", "processing"), ""): ("manageProcessing",),
    (("server", "imap"), ""): ("manageIMAP",),
    (("server", "imapproxy"), ""): ("manageIMAPProxy",),
    (("server", "pop3"), ""): ("managePOP3",),
    (("server", "pop3proxy"), ""): ("managePOP3Proxy",),
    (("server", "webmail"), ""): ("manageWebMail",),
    (("server", "webmailproxy"), ""): ("manageWebmailProxy",),
    (("server", "webadmin"), ""): ("manageWebAdmin",),
    (("server", "cli"), ""): ("manageCLI",),
    (("server", "rpop"), ""): ("manageRPOP",),
    (("server", "ftpbackup"), ""): ("manageFTPBackup",),
    (("server", "report"), ""): ("manageReporting",),
    (("server", "reporting"), ""): ("manageReporting",),
    (("server", "log"), ""): ("manageLog",),
    (("server", "callog"), ""): ("manageLog",),
    (("server", "joblog"), ""): ("manageLog",),
    (("server", "srvlog"), ""): ("manageLog",),
    (("server", "dnr"), ""): ("manageDNR",),
    (("server", "cluster"), ""): ("manageCluster",),
    (("server", "filters"), ""): ("manageServerFilters",),
    (("server", "userdb"), ""): ("manageAuthentication",),
    (("server", "permissions"), ""): (ACL,),
    (("domaincreate",), ""): ("activateAnyDomain",),
    (("domainedit",), ""): ("manageDomainStorageOnAnyDomain",),
    (("domain",), ""): (_DOMAIN_CONFIG,),
    (("domain",), "COMMIT"): (
        _DOMAIN_CONFIG,
        "manageDomainAliasesOnAnyDomain",
        "removeAccountsOnAnyDomain",
        *_ACCOUNT_CHANGES,
    ),
    (("domain",), "ADD ALIAS"): ("manageDomainAliasesOnAnyDomain",),
    (("domain",), "REMOVE ALIAS"): ("manageDomainAliasesOnAnyDomain",),
    (("domain",), "ADD ACCOUNT"): ("createAccountsOnAnyDomain",),
    (("domain",), "REMOVE ACCOUNT"): ("removeAccountsOnAnyDomain",),
    (("domain",), "UPDATE ACCOUNT"): (),
    (("domain", "account"), ""): ("manageAccountsOnAnyDomain",),
    (("domain", "account"), "SET"): _ACCOUNT_CHANGES,
    (("domain", "account"), "COMMIT"): (*_ACCOUNT_CHANGES, "manageAccountsContactInformationOnAnyDomain"),
    (("domain", "account"), "CONFIG CONTACTINFO"): ("manageAccountsContactInformationOnAnyDomain",),
    (("domain", "account", "contactinfo"), ""): ("manageAccountsContactInformationOnAnyDomain",),
}


def needed(segments: t.Sequence[str], words: t.Sequence[str]) -> tuple[str, ...]:
    """The permissions of which one is needed for a command; none: it needs no more than :data:`LOGIN`.

    ``segments`` make the context's prompt, ``words`` are the command's fixed words in upper case.
    """
    place = tuple(segment.lower().replace("-", "") for segment in segments)
    if words[0] == "SAVE":
        return ("manageServerConfig",)
    while True:
        for length in range(len(words), 0, -1):
            found = _TABLE.get((place, " ".join(words[:length])))
            if found is not None:
                return found
        if words[0] in _LOOKING and place[:1] not in _PRIVATE:
            return ()
        found = _TABLE.get((place, ""))
        if found is not None or not place:
            return t.cast("tuple[str, ...]", found)
        place = place[:-1]


def on_domain(permission: str) -> str:
    """What a permission on any domain is called when it is given on one; empty when there is no such."""
    return _ONE_DOMAIN.get(permission, "")
