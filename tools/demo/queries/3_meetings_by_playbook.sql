-- Which playbooks lead to meetings, and with how many agents?
SELECT
  CASE
    WHEN talk.id IS NULL THEN '(no conversation)'
    WHEN relatedPlaybookId IS NULL THEN '(no playbook)'
    ELSE coalesce(playbooks.name, '(switched off)')
  END AS playbook,
  -- A meeting has a row for each of its agents.
  count(DISTINCT slug) AS meetings,
  count(DISTINCT slug) FILTER (meetings.status = 'CANCELED') AS canceled,
  count(DISTINCT slug) FILTER (slotStart > epoch_ms(now())) AS ahead,
  count(DISTINCT agentId) AS agents
FROM meetings
LEFT JOIN conversation_details AS talk ON talk.id = meetings.conversationId
LEFT JOIN playbooks ON playbooks.id = talk.relatedPlaybookId
GROUP BY ALL
ORDER BY meetings DESC, playbook;
