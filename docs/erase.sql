-- Removes one person from a file that source-drift archive wrote, by an email address: docs/person.md has the commands.
--
-- Removed, in one transaction:
--   * the contacts that source-drift person finds by this address, and those that the person was as a visitor before;
--   * the conversations of these contacts with details, metrics, the messages of all authors, and rows of attachments;
--   * the messages that these contacts wrote in conversations of others; what others wrote there stays;
--   * meetings of these contacts, of these conversations, and with the address as an attendee.
--
-- Not removed:
--   * Contacts with another address of the person. Run the file for each address in `other_addresses`, which
--     source-drift person writes to manifest.json.
--   * What others wrote about the person elsewhere, and fields that only mention the address.
--   * Rows of `users`, if the address is that of a user of Drift.
--   * Files of messages. Their paths in the folder of --files are printed; delete them there.
--   * The bytes in the DuckDB file. DuckDB marks them as free, also with CHECKPOINT and VACUUM, and keeps them until it
--     needs the space. A copy with COPY FROM DATABASE does not have them.
--   * Backups, Parquet files, a warehouse, and answers of source-drift person.
-- The next sync brings rows again that Drift still has, if they change or are refreshed, and in any case meetings and
-- the contacts of `contact_emails`. So let Drift erase the person first.
--
-- This is DuckDB's SQL. For a warehouse, keep the order of the statements and translate JSON functions and variables.
BEGIN;

-- A stream that was never synced has no table. An empty one takes its place, and is dropped at the end.
CREATE SCHEMA _absent;
CREATE TABLE _absent.contacts (id BIGINT, attributes JSON);
CREATE TABLE _absent.contacts_by_email (id BIGINT, attributes JSON);
CREATE TABLE _absent.conversations (id BIGINT, contactId BIGINT);
CREATE TABLE _absent.conversation_details (id BIGINT, contactId BIGINT);
CREATE TABLE _absent.conversation_metrics (conversationId BIGINT, endUserId BIGINT);
CREATE TABLE _absent.messages (id BIGINT, conversationId BIGINT, author JSON);
CREATE TABLE _absent.attachments (conversationId BIGINT, messageId BIGINT, path VARCHAR);
CREATE TABLE _absent.meetings (schedulerId BIGINT, conversationId BIGINT);
CREATE TABLE _absent.users (email VARCHAR);
SET search_path = 'main,_absent';

CREATE TEMP TABLE _asked AS
SELECT CASE
  WHEN contains(given, '@') THEN given
  ELSE error('The variable address is no email address. Nothing was removed.')
END AS address
FROM (SELECT lower(trim(coalesce(getvariable('address')::VARCHAR, ''), E' \t\r\n')) AS given);

CREATE TEMP VIEW _known AS
SELECT id AS contact, attributes FROM contacts UNION ALL SELECT id AS contact, attributes FROM contacts_by_email;

-- Whose a conversation is. The metrics count only where the other tables don't say.
CREATE TEMP VIEW _talks AS
SELECT id AS talk, coalesce(conversations.contactId, conversation_details.contactId, endUserId) AS contact
FROM conversations
FULL JOIN conversation_details USING (id)
FULL JOIN (SELECT conversationId AS id, endUserId FROM conversation_metrics) USING (id);

CREATE TEMP VIEW _written AS
SELECT id, conversationId AS talk, TRY_CAST(author ->> '$.id' AS BIGINT) AS contact
FROM messages
WHERE lower(coalesce(author ->> '$.type', 'contact')) = 'contact';

-- Only attributes that hold a contact's own address: account_owner_email holds an employee's. The names are those of
-- source-drift person.
CREATE TEMP TABLE _contacts AS
SELECT DISTINCT contact
FROM _known, json_each(attributes) AS attribute, json_tree(attribute.value) AS part, _asked
WHERE regexp_full_match(
    attribute.key,
    '(?:(?:work|business|company|corporate|personal|private|home|primary|secondary|second|alternate|alternative|other'
    || '|additional|previous|old|contact|user)[ _-]?)?e?-?mails?(?:[ _-]?address(?:es)?)?[ _-]?\d?',
    'i'
  )
  AND part.type = 'VARCHAR'
  AND list_contains(regexp_split_to_array(lower(part.atom ->> '$'), '[\s\pZ,;<>]+'), address);

-- Drift gives a visitor another contact before the address is known. It has no address, and met nobody else.
INSERT INTO _contacts
WITH visitors AS (
  SELECT DISTINCT contact
  FROM _known
  WHERE contact IN (
    SELECT _written.contact FROM _written JOIN _talks USING (talk) WHERE _talks.contact IN (FROM _contacts)
  )
    AND contact NOT IN (
      SELECT contact
      FROM _known, json_tree(attributes) AS part
      WHERE contact IS NOT NULL AND part.type = 'VARCHAR' AND contains(part.atom ->> '$', '@')
    )
),
met AS (
  SELECT _written.contact, _talks.contact AS other FROM _written JOIN _talks USING (talk)
  UNION
  SELECT _talks.contact, _written.contact FROM _written JOIN _talks USING (talk)
)
SELECT contact
FROM visitors
WHERE contact NOT IN (
  SELECT contact FROM met WHERE contact IS NOT NULL AND other NOT IN (FROM _contacts) AND other NOT IN (FROM visitors)
);

CREATE TEMP TABLE _conversations AS
SELECT talk FROM _talks WHERE contact IN (FROM _contacts)
UNION
-- A conversation that no table gives to a contact is the person's if no other contact wrote in it.
SELECT talk
FROM _written
WHERE contact IN (FROM _contacts)
  AND talk NOT IN (SELECT talk FROM _talks WHERE contact IS NOT NULL)
  AND talk NOT IN (SELECT talk FROM _written WHERE talk IS NOT NULL AND contact NOT IN (FROM _contacts));

CREATE TEMP TABLE _messages AS
SELECT id FROM messages WHERE conversationId IN (FROM _conversations)
UNION
SELECT id FROM _written WHERE contact IN (FROM _contacts);

SELECT path AS file_to_delete
FROM attachments
WHERE path IS NOT NULL AND (conversationId IN (FROM _conversations) OR messageId IN (FROM _messages));

SELECT
  (SELECT count(*) FROM _contacts) AS contacts,
  (SELECT count(*) FROM _conversations) AS conversations,
  (SELECT count(*) FROM _messages) AS messages;

DELETE FROM meetings
WHERE schedulerId IN (FROM _contacts)
  OR conversationId IN (FROM _conversations)
  -- An attendee, in a field that Drift does not document. A user of Drift is named in meetings with many people.
  OR rowid IN (
    SELECT meeting.rowid
    FROM meetings AS meeting, json_tree(to_json(meeting)) AS part, _asked
    WHERE part.type = 'VARCHAR'
      AND lower(trim(part.atom ->> '$')) = address
      AND address NOT IN (SELECT lower(trim(email)) FROM users WHERE email IS NOT NULL)
  );
DELETE FROM attachments WHERE conversationId IN (FROM _conversations) OR messageId IN (FROM _messages);
DELETE FROM messages WHERE id IN (FROM _messages);
DELETE FROM conversation_metrics WHERE conversationId IN (FROM _conversations);
DELETE FROM conversation_details WHERE id IN (FROM _conversations);
DELETE FROM conversations WHERE id IN (FROM _conversations);
DELETE FROM contacts_by_email WHERE id IN (FROM _contacts);
DELETE FROM contacts WHERE id IN (FROM _contacts);

DROP VIEW _known;
DROP VIEW _talks;
DROP VIEW _written;
DROP TABLE _asked;
DROP TABLE _contacts;
DROP TABLE _conversations;
DROP TABLE _messages;
DROP SCHEMA _absent CASCADE;
RESET search_path;
COMMIT;
