#!/bin/bash
# Grade a class as a job array of Slurm, then join its parts in a job that waits for them.
#
#   array=$(sbatch --parsable cluster/slurm.sh submissions/)
#   sbatch --array=1 --dependency=afterany:"$array" cluster/slurm.sh submissions/
#
# Run both in the checkout, in a folder that all nodes share. The file seed.txt holds a whole number
# above 0, the same for both (another file: SEED_FILE). The table is grades.csv (another: OUT). What
# follows the folder goes to the command as it is, such as --time-limit 120.
#
# The join is the one part of one, and grades what no part has. So afterany, not afterok: a task
# that failed must not keep it from beginning.
#SBATCH --job-name=grade
#SBATCH --array=1-8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --output=grade-%A_%a.log
set -euo pipefail

"${PYTHON:-.venv/bin/python}" -P -m unrolled.grade \
    --class "${1:?name the folder of submissions}" --out "${OUT:-grades.csv}" "${@:2}" \
    --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --seed "${SEED_FILE:-seed.txt}" \
    --jobs "${SLURM_CPUS_PER_TASK:-1}" ||
    [ $? -eq 1 ] # some submissions need a look, which is no failure of the job
