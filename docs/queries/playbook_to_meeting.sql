-- How many of the conversations that a playbook began led to a booked meeting?
-- Drift does not return meetings that started more than 30 days before a sync. So the percentage includes only
-- conversations that began after the first known meeting. It is complete if a sync ran every month.
WITH booked AS (
  SELECT conversationId, bool_or(status IS DISTINCT FROM 'CANCELED') AS stands
  FROM meetings
  GROUP BY conversationId
),
begun AS (
  SELECT
    relatedPlaybookId,
    conversationId IS NOT NULL AS led,
    stands,
    createdAt >= (SELECT min(slotStart) FROM meetings) AS recent
  FROM conversation_details
  LEFT JOIN booked ON booked.conversationId = conversation_details.id
  WHERE relatedPlaybookId IS NOT NULL
)
SELECT
  -- An inactive or deleted playbook has an ID, but no row and therefore no name.
  coalesce(relatedPlaybookId, playbooks.id) AS playbook,
  playbooks.name,
  count(relatedPlaybookId) AS conversations,
  count(*) FILTER (led) AS with_meeting,
  count(*) FILTER (stands) AS with_standing_meeting,
  count(*) FILTER (recent) AS recent_conversations,
  round(100 * count(*) FILTER (recent AND led) / nullif(count(*) FILTER (recent), 0), 1) AS recent_percent
FROM begun
FULL JOIN playbooks ON playbooks.id = relatedPlaybookId
GROUP BY relatedPlaybookId, playbooks.id, playbooks.name
ORDER BY with_meeting DESC, conversations DESC, playbook;
