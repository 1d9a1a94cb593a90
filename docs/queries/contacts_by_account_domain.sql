-- How many contacts have an e-mail address of each domain, and which account is that?
-- Domains that no account has are listed too; contacts without a usable address make up the row without a domain.
WITH addressed AS (
  SELECT nullif(regexp_extract(lower(trim(attributes ->> '$.email')), '@([^@\s]+)$', 1), '') AS domain
  FROM contacts
),
found AS (
  SELECT domain, count(*) AS contacts
  FROM addressed
  GROUP BY domain
),
known AS (
  SELECT accountId, name, targeted, regexp_replace(lower(trim(accounts.domain)), '^www\.', '') AS domain
  FROM accounts
)
-- Two accounts that share a domain are two rows, each with all of its contacts.
SELECT domain, contacts, accountId AS account, name, targeted
FROM found
LEFT JOIN known USING (domain)
ORDER BY contacts DESC, domain NULLS LAST, account;
