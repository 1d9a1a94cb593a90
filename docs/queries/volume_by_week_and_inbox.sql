-- How many conversations began in each week, by inbox?
-- Weeks begin on Monday, UTC. Bulk mail also has its own column, because nobody began those conversations.
SELECT
  date_trunc('week', epoch_ms(createdAt))::DATE AS week,
  inboxId AS inbox,
  count(*) AS conversations,
  count(*) FILTER (status = 'bulk_sent') AS bulk_sent
FROM conversations
GROUP BY ALL
ORDER BY week DESC NULLS LAST, conversations DESC, inbox NULLS LAST;
