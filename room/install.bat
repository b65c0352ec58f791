@echo off
rem Installs the course from this folder alone, without a network: double-click, or install.bat in a terminal
cd /d "%~dp0"
py -3 -m venv .venv || python -m venv .venv || (echo Python 3.11 or later is needed. & pause & exit /b 1)
.venv\Scripts\python -m pip install --quiet --no-index --find-links wheels --requirement requirements.txt keypoint-tutorials
if errorlevel 1 (
    echo The folder wheels is for another system, or for another Python. These are there:
    dir /b wheels\torch-*
    pause & exit /b 1
)
.venv\Scripts\python -m helpers.preflight
echo Open the notebooks: "%cd%\.venv\Scripts\jupyter" lab "%cd%\notebooks"
pause
