-- Is the copy complete: all conversations that Drift counts, and the records that belong to them?
-- Drift counts conversations at a different time than it lists them, so a few may differ. It does not count bulk mail.
-- Some conversations have no messages, and conversations still refer to deleted contacts.
WITH counted AS (
  SELECT lower(status) AS status, sum(count) AS conversations
  FROM conversation_stats
  GROUP BY ALL
),
landed AS (
  SELECT status, count(*) AS conversations
  FROM conversations
  GROUP BY status
),
parts AS (
  SELECT
    'status ' || coalesce(landed.status, counted.status, '(none)') AS what,
    counted.conversations AS expected,
    coalesce(landed.conversations, 0) AS landed
  FROM landed
  FULL JOIN counted ON counted.status = landed.status
  UNION ALL
  SELECT 'with details', count(*), count(*) FILTER (id IN (SELECT id FROM conversation_details))
  FROM conversations
  UNION ALL
  SELECT
    'with metrics', count(*), count(*) FILTER (id IN (SELECT conversationId FROM conversation_metrics))
  FROM conversations
  UNION ALL
  SELECT 'with messages', count(*), count(*) FILTER (EXISTS (FROM messages WHERE conversationId = conversations.id))
  FROM conversations
  UNION ALL
  SELECT
    'contacts of conversations',
    count(DISTINCT contactId),
    count(DISTINCT contactId) FILTER (contactId IN (SELECT id FROM contacts))
  FROM conversations
)
SELECT what, expected::BIGINT AS expected, landed, (expected - landed)::BIGINT AS missing
FROM parts
ORDER BY what;
